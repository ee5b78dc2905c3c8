# syntax=docker/dockerfile:1

FROM python:3.13-slim AS build
COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /usr/local/bin/uv
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR=/var/cache/uv
WORKDIR /app
# the dependencies first: this layer stays until the lock file changes
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/var/cache/uv \
    uv sync --locked --no-dev --extra otel --compile-bytecode --no-install-project
COPY README.md LICENSE ./
COPY alembic ./alembic
COPY src ./src
COPY api ./api
COPY outbox ./outbox
COPY pipeline ./pipeline
RUN --mount=type=cache,target=/var/cache/uv \
    uv sync --locked --no-dev --extra otel --compile-bytecode --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home herald
WORKDIR /app
COPY --from=build /app/.venv ./.venv
# for operators: `alembic current` inside the container
COPY alembic.ini pyproject.toml ./
COPY alembic ./alembic
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1 HERALD_HOST=0.0.0.0
USER herald
EXPOSE 8000
ENTRYPOINT ["herald"]
CMD ["--help"]
