"""What `herald doctor` says of settings that are valid, each by itself."""

import resource
from typing import Any

import pytest

from herald.outbox.extensions import extend
from herald.outbox.operate.doctor.command import SETTINGS
from herald.outbox.operate.doctor.finding import Finding, run
from herald.outbox.operate.doctor.settings import Configuration, read_configuration
from tests.outbox.connections import make_settings
from tests.outbox.extending import Install, install

__all__ = ["install"]

URL = "postgresql://herald@localhost/herald"


def look(
    check: str, *, environment: dict[str, str] | None = None, file: dict[str, str] | None = None, **settings: Any
) -> list[Finding]:
    subject = Configuration(make_settings(URL, **settings), environment or {}, file or {})
    return [finding for *_, finding in run("", {check: SETTINGS[check]}, subject)]


@pytest.mark.parametrize("check", SETTINGS)
def test_the_defaults_are_ok(check: str) -> None:
    assert [found.level for found in look(check)] == ["ok"]


def test_a_broken_extension_is_a_problem_and_another_is_not(install: Install) -> None:
    modules = {"shop_orders": "raise RuntimeError", "shop_pager": "make_channel = print"}
    install("shop", modules, topics={"orders": "shop_orders"}, channels={"pager": "shop_pager"})
    extend(())

    broken, good = look("extensions")

    assert (broken.level, broken.text[:36]) == ("problem", "topic orders of shop 1.0 is broken: ")
    assert (good.level, good.text) == ("ok", "channel pager of shop 1.0")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HERALD_LEESE", "HERALD_LEASE"),
        ("HERALD_DATABASE_URL", "DATABASE_URL"),
        ("HERALD_KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("HERALD_SMTP_HOST__PORT", None),
        ("HERALD_ZZZ", None),
    ],
)
def test_a_name_that_nothing_reads_is_a_warning(name: str, meant: str | None) -> None:
    for source in ({"environment": {name: "1"}}, {"file": {name: "1"}}):
        (found,) = look("names", **source)

        assert (found.level, found.text) == ("warning", f"{name} is set, and nothing reads it")
        assert found.advice
        assert meant is None or found.advice == f"Did you mean {meant}?"


@pytest.mark.parametrize(
    "name", ["HERALD_LOG_LEVEL", "herald_lease", "HERALD_CHANNELS__EMAIL__TIMEOUT", "KAFKA_HEAP_OPTS", "PATH"]
)
def test_a_name_that_something_reads_is_ok(name: str) -> None:
    assert look("names", environment={name: "1"})[0].level == "ok"


def test_a_setting_of_the_file_that_the_environment_overrides_is_a_note() -> None:
    file = {"HERALD_LEASE": "90", "HERALD_SMTP_PASSWORD": "secret", "PATH": "/bin"}

    found = look(
        ".env", environment={"HERALD_LEASE": "90", "HERALD_SMTP_PASSWORD": "other", "PATH": "/usr/bin"}, file=file
    )

    assert [(one.level, one.text) for one in found] == [
        ("note", "HERALD_SMTP_PASSWORD of .env is overridden by the environment")
    ]


def test_the_file_and_the_environment_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERALD_LEASE", "70")
    (tmp_path / ".env").write_text("HERALD_LEASE=90\nHERALD_GROUP=mine\n", encoding="utf-8")

    configuration = read_configuration(make_settings(URL))

    assert configuration.file == {"HERALD_LEASE": "90", "HERALD_GROUP": "mine"}
    assert configuration.environment["HERALD_LEASE"] == "70"


@pytest.mark.parametrize(
    ("check", "settings", "level", "said"),
    [
        ("times", {"lease": 33.0}, "warning", "HERALD_LEASE (33) leaves 3 s beside the slowest delivery (30)"),
        (
            "times",
            {"channels": {"email": {"timeout": 58}}},
            "warning",
            "HERALD_LEASE (60) leaves 2 s beside the",
        ),
        ("times", {"statement_timeout": 60.0}, "warning", "HERALD_STATEMENT_TIMEOUT (60) reaches HERALD_LEASE (60)"),
        (
            "times",
            {"retry_base": 10.0, "retry_cap": 5.0},
            "warning",
            "HERALD_RETRY_BASE (10) is above HERALD_RETRY_CAP",
        ),
        ("times", {"retry_base": 301.0}, "warning", "HERALD_RETRY_BASE (301) is above HERALD_STRICT_RETRY_CAP (300)"),
        (
            "times",
            {"strict_topics": ("notifications",), "max_attempts": 8},
            "warning",
            "messages of strict topics are tried for up to 2.1 h, others for 0.035 h",
        ),
        ("times", {"breaker_base": 301.0}, "warning", "HERALD_BREAKER_BASE (301) is above HERALD_BREAKER_CAP (300)"),
        ("times", {"idempotency_ttl": 60.0}, "note", "HERALD_IDEMPOTENCY_TTL is 60 s"),
        ("limits", {"concurrency": 5}, "note", "HERALD_DESTINATION_CONCURRENCY (10) is above HERALD_CONCURRENCY (5)"),
        (
            "limits",
            {"max_bulk_body": 2048},
            "warning",
            "HERALD_MAX_BULK_BODY (2048) is below HERALD_MAX_BODY",
        ),
        (
            "routes",
            {"routes": {"sale": {"channel": "apprise"}}},
            "warning",
            "HERALD_ROUTES sends sale over apprise",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_found(
    check: str, settings: dict[str, Any], level: str, said: str
) -> None:
    (found,) = look(check, **settings)

    assert (found.level, found.text[: len(said)]) == (level, said)


def test_a_limit_of_descriptors_below_what_deliveries_need_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))

    (found,) = look("limits")

    assert (found.level, found.text[:49]) == ("note", "64 files and connections may be open here (ulimit")


def test_a_route_by_e_mail_needs_a_server_and_a_sender() -> None:
    found = look("routes", routes={"sale": {"channel": "email"}}, smtp_host="localhost")

    assert [one.advice for one in found] == ["Set HERALD_EMAIL_FROM"]
