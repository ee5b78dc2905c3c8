# Everything a fresh clone needs is Python 3.11 or later, make and PyPI.

UV_VERSION := 0.13.9
UV_HOME := .cache/uv-$(UV_VERSION)
UV := $(UV_HOME)/bin/uv
BIN := .venv/bin
STAMP := .venv/.installed
DEMO ?= 100
WORKERS ?= 4
BESIDE ?= 8fa6f06

# The first Python that is new enough and can make an environment (Debian ships venv apart).
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { command -v $$python; break; }; done)

.DEFAULT_GOAL := help
# Or each process of the tests would compile every module again, and with pytest rewrite its assertions.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install run test lint format types imports quick end-to-end mechanisms proof proof-all bench bench-all costs clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with everything of uv.lock (again only when that changed)

run: $(STAMP) ## Start all of Herald on embedded servers, deliver DEMO=100 notifications, stay up
	@$(BIN)/herald up --demo $(DEMO)

test: lint types imports $(STAMP) ## Everything that CI checks; the tests are shared among WORKERS=4 processes
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

lint: $(STAMP) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## Repair style and format where a program can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## Check types
	$(BIN)/mypy

imports: $(STAMP) ## Check that imports point one way
	$(BIN)/lint-imports

quick: $(STAMP) ## Run the tests that need neither Java nor the whole system
	$(BIN)/pytest -m "not kafka and not proof" --ignore tests/proof/end_to_end --ignore tests/clients --ignore tests/proof/faults/test_kills.py

end-to-end: $(STAMP) ## Run all processes together, on the embedded broker and on Apache Kafka
	$(BIN)/pytest -m '' tests/proof/end_to_end

mechanisms: $(STAMP) ## Take each mechanism out of the code, one at a time, and show its tests failing
	$(BIN)/python -m tests.proof.mechanisms

proof: $(STAMP) ## Search for what breaks Herald, on Apache Kafka, in an hour or so
	$(BIN)/python -m tests.proof

proof-all: $(STAMP) ## The same for ten hours; PART=n/16 is one of its parts
	$(BIN)/python -m tests.proof --all $(addprefix --part ,$(PART))

bench: $(STAMP) ## Measure beside rivals on a log of a million messages, in half an hour; prints tables of ratios
	$(BIN)/python -m benchmarks

bench-all: $(STAMP) ## The same on ten million messages, each rate held for a minute: takes hours
	$(BIN)/python -m benchmarks --all

costs: $(STAMP) ## Measure what a message costs here and in other commits, BESIDE=8fa6f06; prints a table
	$(BIN)/python -m benchmarks costs $(addprefix --beside ,$(BESIDE))

clean: ## Remove what can be made again; the data of `make run` stays in .herald
	rm -rf .venv .cache dist clients/typescript/dist clients/typescript/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never \
		$(UV) sync --locked --all-extras --all-groups --python '$(PYTHON)'
	@touch $@

# uv lives beside .venv, not in it: `uv sync` removes from .venv what the lock file does not name.
$(UV):
	@test -n '$(PYTHON)' || { echo 'Herald needs Python 3.11 or later with venv (Debian: apt install python3-venv)' >&2; exit 1; }
	'$(PYTHON)' -m venv $(UV_HOME)
	$(UV_HOME)/bin/pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'
