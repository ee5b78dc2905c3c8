from pathlib import Path

import pytest

from herald.outbox.settings import Settings, SettingsError, load_settings, variable


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@db/herald")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DATABASE_URL", "mysql://db/herald", "DATABASE_URL: must be a URL that begins with postgresql://"),
        ("HERALD_PORT", "99999", "HERALD_PORT: Input should be less than or equal to 65535"),
        ("HERALD_WINDOW_SIZE", "0", "HERALD_WINDOW_SIZE: Input should be greater than or equal to 1"),
        ("HERALD_WINDOW_SECONDS", "soon", "HERALD_WINDOW_SECONDS: Input should be a valid number"),
        ("HERALD_LEASE", "5", r"HERALD_LEASE \(5\) must exceed HERALD_DELIVERY_TIMEOUT \(30\)"),
        ("KAFKA_SECURITY_PROTOCOL", "tls", "KAFKA_SECURITY_PROTOCOL: Input should be 'plaintext'"),
        (
            "HERALD_CHANNELS",
            '{"webhook": {"timeout": 90}}',
            r"HERALD_LEASE \(60\) must exceed HERALD_CHANNELS__WEB",
        ),
        ("HERALD_CHANNELS", '{"webhook": {"timout": 9}}', "HERALD_CHANNELS__webhook__timout: Extra inputs"),
        ("HERALD_CHANNELS", '{"pigeon": {}}', "HERALD_CHANNELS: no such channel: pigeon; registered: log, webhook"),
        ("HERALD_CHANNELS__WEBHOOK__TIMEOUT", "0", "HERALD_CHANNELS__webhook__timeout: Input should be greater than 0"),
        ("HERALD_ROUTES", '{"order.shipped": {"channel": "pigeon"}}', "HERALD_ROUTES: no such channel: pigeon"),
        ("HERALD_ROUTES", "{", "HERALD_ROUTES: is not valid JSON"),
        ("HERALD_STRICT_TOPICS", "orders", "HERALD_STRICT_TOPICS: no such topic: orders"),
        ("HERALD_BREAKER_RAMP", "0", "HERALD_BREAKER_RAMP: Input should be greater than 0"),
        ("HERALD_IDEMPOTENCY_TTL", "1", "HERALD_IDEMPOTENCY_TTL: Input should be greater than or equal to 60"),
        ("HERALD_RETENTION", "3600", "HERALD_RETENTION: Input should be greater than or equal to 7200"),
        (
            "HERALD_RETENTION",
            "7200",
            r"HERALD_RETENTION \(7200\) must not be less than HERALD_IDEMPOTENCY_TTL \(86400\)",
        ),
        ("HERALD_TOPIC_PREFIX", "shop/", "HERALD_TOPIC_PREFIX: only A to Z"),
        ("HERALD_TOPIC_PREFIX", "__shop.", "HERALD_TOPIC_PREFIX: topics that begin with `__` are Kafka's own"),
        ("HERALD_TOPIC_PREFIX", "a" * 235, "HERALD_TOPIC_PREFIX: with more than 234 characters"),
        ("HERALD_SCHEMA", "Herald", "HERALD_SCHEMA: must be a plain name: a to z, 0 to 9 and `_`"),
        ("HERALD_SCHEMA", "my-herald", "HERALD_SCHEMA: must be a plain name"),
        ("HERALD_SCHEMA", "1st", "HERALD_SCHEMA: must be a plain name"),
        ("HERALD_SCHEMA", "", "HERALD_SCHEMA: must be a plain name"),
        ("HERALD_SCHEMA", "pg_herald", "HERALD_SCHEMA: pg_herald is PostgreSQL's own"),
        ("HERALD_SCHEMA", "user", "HERALD_SCHEMA: user is a word of SQL"),
        ("HERALD_SCHEMA", "select", "HERALD_SCHEMA: select is a word of SQL"),
        ("HERALD_SCHEMA", "information_schema", "HERALD_SCHEMA: information_schema is PostgreSQL's own"),
        ("HERALD_SCHEMA", "a" * 49, "HERALD_SCHEMA: has more than 48 characters"),
        ("KAFKA_SASL_MECHANISM", "PLAIN", "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=complaint):
        load_settings()


@pytest.mark.parametrize(("value", "retention"), [("", None), ("none", None), ("86400", 86_400.0)])
def test_retention_may_be_none(monkeypatch: pytest.MonkeyPatch, value: str, retention: float | None) -> None:
    monkeypatch.setenv("HERALD_RETENTION", value)

    assert load_settings().retention == retention


def test_a_missing_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")

    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        load_settings()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_postgresql_reaches_libpq_as_its_own(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://ada@db/herald")

    assert load_settings().database_url == "postgresql://ada@db/herald"


@pytest.mark.parametrize("url", ["postgresql://ada:pass%word@db/herald", "mysql://ada@db/herald", "herald"])
def test_a_url_that_libpq_does_not_understand_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SettingsError, match="DATABASE_URL: ") as refused:
        load_settings()

    assert "pass%word" not in str(refused.value)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hush")

    assert "hush" not in repr(load_settings())


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HERALD_GROUP=others\n")

    assert load_settings().group == "others"
