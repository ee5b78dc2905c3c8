"""Every setting of every process, read from the environment and `.env`, checked at start."""

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, TypeVar, overload

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from herald.outbox.extensions import ExtensionError, extend
from herald.outbox.registry import CHANNELS, DEAD_LETTERS, OWNER_TOPIC, TOPICS

LOCAL_KAFKA = "localhost:9092"
LONGEST_NAME = 249  # characters of a topic's name
DEFAULT_SCHEMA = "herald"
LONGEST_SCHEMA = 63 - len("-rebuild-reader")  # bytes: PostgreSQL keeps 63 of a name, and names are made of the schema's

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _or_none(value: object) -> object:
    return None if value in {"", "none"} else value


# separated by commas in the environment
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class ChannelPolicy(BaseModel):
    """What one channel does differently; what is not set comes from the settings of the same name.

    `unknown`: what becomes of an attempt whose outcome is not known: `retry` it with the same
    idempotency key, do so `once` and hold the message then, or `hold` it at once until a person decides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: Seconds | None = Field(None, description="seconds one delivery may take")
    concurrency: int | None = Field(None, ge=1, le=10_000, description="deliveries at once over this channel")
    destination_concurrency: int | None = Field(None, ge=1, le=1000, description="deliveries at once to one host")
    retry_base: Seconds | None = None
    retry_cap: Seconds | None = None
    max_attempts: int | None = Field(None, ge=1, le=100)
    unknown: Literal["retry", "once", "hold"] | None = None


class Route(BaseModel):
    """Where a message goes that does not say it itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = Field(min_length=1, max_length=255)
    address: str | None = Field(None, min_length=1, max_length=2048)


class SettingsError(Exception):
    """A setting is missing or wrong; the text names each one as it is spelled in the environment."""


def _named(variable: str) -> AliasChoices:
    return AliasChoices(variable, variable.lower())


class ExtensionSettings(BaseSettings):
    """Which packages of the user's own there are: read first, because the others may speak of what those have."""

    model_config = SettingsConfigDict(
        env_prefix="HERALD_", env_file=".env", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    extensions: Names = Field((), description="modules that say which topics, channels and tasks they have")


class SchemaSettings(ExtensionSettings):
    """Where in a database Herald is: all that is needed where no server is asked."""

    database_schema: str = Field(
        DEFAULT_SCHEMA,
        validation_alias=_named("HERALD_SCHEMA"),
        description="of the database; everything of Herald is there",
    )

    @field_validator("database_schema")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", value):
            message = "must be a plain name: a to z, 0 to 9 and `_`, without a digit at its beginning"
            raise ValueError(message)
        if value.startswith("pg_") or value == "information_schema":
            message = f"{value} is PostgreSQL's own"
            raise ValueError(message)
        # imported for other names than ours alone, as it takes a fifth of a second
        if value != DEFAULT_SCHEMA and value in import_module("sqlalchemy.dialects.postgresql.base").RESERVED_WORDS:
            message = f"{value} is a word of SQL, which would have to be quoted"
            raise ValueError(message)
        if len(value) > LONGEST_SCHEMA:
            message = f"has more than {LONGEST_SCHEMA} characters"
            raise ValueError(message)
        return value


class Settings(SchemaSettings):
    """The settings, immutable; times in seconds, sizes in bytes unless a name says otherwise."""

    database_url: str = Field(validation_alias=_named("DATABASE_URL"))
    pool_size: int = Field(10, ge=1, le=500, description="connections for reads, and threads that use them")
    connect_timeout: Seconds = Field(5.0, description="seconds to reach the database")
    statement_timeout: Seconds = Field(15.0, description="seconds one statement may take")

    failover: Literal["manual", "automatic"] = Field(
        "manual", description="whether a new timeline is taken for a fail-over"
    )

    kafka_bootstrap_servers: str = Field(LOCAL_KAFKA, validation_alias=_named("KAFKA_BOOTSTRAP_SERVERS"), min_length=1)
    kafka_security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] | None = Field(
        None, validation_alias=_named("KAFKA_SECURITY_PROTOCOL")
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = Field(
        None, validation_alias=_named("KAFKA_SASL_MECHANISM")
    )
    kafka_sasl_username: str | None = Field(None, validation_alias=_named("KAFKA_SASL_USERNAME"))
    kafka_sasl_password: SecretStr | None = Field(None, validation_alias=_named("KAFKA_SASL_PASSWORD"))
    kafka_ssl_ca_location: Path | None = Field(None, validation_alias=_named("KAFKA_SSL_CA_LOCATION"))
    kafka_ssl_certificate_location: Path | None = Field(None, validation_alias=_named("KAFKA_SSL_CERTIFICATE_LOCATION"))
    kafka_ssl_key_location: Path | None = Field(None, validation_alias=_named("KAFKA_SSL_KEY_LOCATION"))

    topic_prefix: str = Field("", description="of the names that all of Herald's topics have on Kafka")
    kafka_patience: float = Field(
        30.0, ge=2, le=3600, description="seconds without any answer of Kafka until its clients are given up"
    )
    partitions: int = Field(4, ge=1, le=1000, description="of a topic that Herald creates")
    replication_factor: int | None = Field(
        None, ge=1, le=7, description="of a topic that Herald creates; the cluster's"
    )

    host: str = Field("127.0.0.1", min_length=1, description="the API listens here")
    port: Port = Field(8000, description="the API listens here")
    open: Literal["yes", "no"] = Field("no", description="whether whoever reaches the API needs no key")
    api_processes: int = Field(1, ge=1, le=64, description="of one API, behind its port")
    readers: int = Field(4, ge=1, le=500, description="lists and groups that one API process reads at once")
    max_connections: int = Field(1000, ge=1, le=100_000, description="open to one API")
    max_header: int = Field(32_768, ge=1024, le=1_048_576, description="bytes of a request's line and headers")
    header_timeout: Seconds = Field(10.0, description="seconds until a request's header must have come")
    request_timeout: Seconds = Field(60.0, description="seconds until a whole request must have come")
    idle_timeout: Seconds = Field(5.0, description="seconds that a connection may rest between two requests")
    supervision: Path | None = Field(None, description="file that names processes which keep ending: not ready then")
    max_body: int = Field(2_097_152, ge=1024, le=104_857_600, description="bytes of one request body")
    max_bulk_body: int = Field(16_777_216, ge=1024, le=104_857_600, description="bytes of one bulk request body")

    metrics_host: str = Field("127.0.0.1", min_length=1, description="the metrics are there")
    metrics_port: int = Field(0, ge=0, le=65535, description="of metrics and probes of a process; 0: none")
    metrics_destinations: Literal["yes", "no"] = Field("no", description="whether attempts are told by destination")

    memory: int = Field(
        134_217_728, ge=8_388_608, le=17_179_869_184, description="bytes of one process for what is on its way"
    )

    page_size: int = Field(1000, ge=1, le=100_000, description="rows the relay reads and publishes at once")
    source: str = Field(
        "/herald", min_length=1, max_length=255, description="CloudEvents source of what Herald publishes"
    )

    group: str = Field("", max_length=249, description="consumer group of the pipeline; empty: the instance's own")
    window_size: int = Field(25, ge=1, le=10_000, description="messages between two checkpoints at most")
    window_seconds: Seconds = Field(5.0, description="seconds between two checkpoints at most")
    fetch_wait: Seconds = Field(0.5, description="seconds a broker may hold an empty fetch; Kafka answers at once")
    session_timeout: float = Field(6.0, ge=1, le=300, description="seconds until a silent worker loses its partitions")
    concurrency: int = Field(100, ge=1, le=1000, description="threads for deliveries in one pipeline process")
    open_calls: int = Field(1000, ge=1, le=10_000, description="calls of coroutines open at once in one pipeline")
    destination_concurrency: int = Field(10, ge=1, le=1000, description="deliveries at once to one destination")
    delivery_timeout: Seconds = Field(30.0, description="seconds one delivery may take")
    lease: Seconds = Field(60.0, description="seconds an attempt belongs to its claimer")

    retry_base: Seconds = Field(1.0, description="seconds; the first retry comes within it, the next within twice")
    retry_cap: Seconds = Field(7200.0, description="seconds; no retry waits longer")
    max_attempts: int = Field(29, ge=1, le=100, description="attempts before a message is dead")
    strict_retry_cap: Seconds = Field(300.0, description="seconds; the same on a strict topic")
    strict_max_attempts: int = Field(33, ge=1, le=100, description="attempts on a strict topic")

    breaker_failures: int = Field(5, ge=1, le=1000, description="in a row until a destination is left alone")
    breaker_base: Seconds = Field(5.0, description="seconds until the first probe of a failing destination")
    breaker_cap: Seconds = Field(300.0, description="seconds between two probes at most")
    breaker_ramp: float = Field(10.0, gt=0, le=10_000, description="messages in the first second after it recovered")

    max_ahead: float = Field(31_622_400.0, gt=0, le=315_360_000, description="seconds a date may lie ahead")
    idempotency_ttl: float = Field(86_400.0, ge=60, le=2_592_000, description="seconds an Idempotency-Key is kept")
    retention: Annotated[float | None, BeforeValidator(_or_none)] = Field(
        None, ge=7200, le=315_360_000, description="seconds until what has ended leaves; kept for ever without it"
    )
    strict_topics: Names = Field((), description="topics whose messages wait for a failed predecessor of their key")
    requeue_rate: float = Field(100.0, gt=0, le=10_000, description="dead letters requeued per second")

    routes: dict[str, Route] = Field({}, description="channel and address by event or topic")
    channels: dict[str, ChannelPolicy] = Field({}, description="what single channels do differently")

    webhook_secrets: dict[str, list[SecretStr]] = Field({}, description="by host, or `*`; the first is the newest")
    webhook_networks: Names = Field((), description="networks that are allowed though they are not public")
    webhook_ca_location: Path | None = Field(None, description="certificate authorities instead of the system's")
    smtp_host: str | None = Field(None, min_length=1, max_length=255)
    smtp_port: Port = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_ca_location: Path | None = None
    email_from: str | None = Field(None, min_length=3, max_length=320)
    apprise_urls: dict[str, SecretStr] = Field({}, description="destinations of the channel `apprise` by name")
    apprise_schemes: Names = Field((), description="kinds of Apprise URLs that are allowed")

    sweep_seconds: Seconds = Field(30.0, description="seconds between two searches for lost requests")

    _instance: str = PrivateAttr("")

    @property
    def instance(self) -> str:
        """Which Herald this is, once the database has told; see herald.outbox.postgres.instance.identified."""
        return self._instance

    def of_instance(self, instance: str, *, group: str) -> "Settings":
        """A copy that knows it; `group` holds where none is set."""
        copy = self.model_copy(update={"group": self.group or group})
        copy._instance = instance  # noqa: SLF001 - its own
        return copy

    @field_validator("topic_prefix")
    @classmethod
    def _begins_topics(cls, value: str) -> str:
        """https://kafka.apache.org/documentation/#topicconfigs: names have 249 characters of these at most."""
        most = LONGEST_NAME - max(len(name) for name in (*TOPICS, DEAD_LETTERS, OWNER_TOPIC))
        if not re.fullmatch(r"[A-Za-z0-9._-]*", value):
            message = "only A to Z, a to z, 0 to 9, `.`, `_` and `-` can stand in the name of a topic"
            raise ValueError(message)
        if value.startswith("__"):
            message = "topics that begin with `__` are Kafka's own"
            raise ValueError(message)
        if len(value) > most:
            message = f"with more than {most} characters a topic's name would exceed {LONGEST_NAME}"
            raise ValueError(message)
        return value

    @field_validator("database_url")
    @classmethod
    def _is_for_libpq(cls, value: str) -> str:
        url = re.sub(r"^postgres(ql)?(\+psycopg2)?://", "postgresql://", value)
        if not url.startswith("postgresql://"):
            message = "must be a URL that begins with postgresql://"
            raise ValueError(message)
        try:
            parse_dsn(url)
        except ProgrammingError:  # its text shows parts of the URL, the password perhaps
            message = "is no URL that libpq and psql understand: percent-encode what is special in it, a space as %20"
            raise ValueError(message) from None
        return url

    @model_validator(mode="after")
    def _lease_outlives_delivery(self) -> "Settings":
        if self.lease <= self.delivery_timeout:
            message = f"HERALD_LEASE ({self.lease:g}) must exceed HERALD_DELIVERY_TIMEOUT ({self.delivery_timeout:g})"
            raise ValueError(message)
        for name, policy in self.channels.items():
            if policy.timeout is not None and self.lease <= policy.timeout:
                shown = f"HERALD_CHANNELS__{name.upper()}__TIMEOUT ({policy.timeout:g})"
                message = f"HERALD_LEASE ({self.lease:g}) must exceed {shown}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _keys_do_not_outlive_messages(self) -> "Settings":
        if self.retention is not None and self.retention < self.idempotency_ttl:
            shown = f"HERALD_IDEMPOTENCY_TTL ({self.idempotency_ttl:g})"
            message = f"HERALD_RETENTION ({self.retention:g}) must not be less than {shown}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _names_are_registered(self) -> "Settings":
        named = [
            ("HERALD_ROUTES", "channel", {route.channel for route in self.routes.values()}, CHANNELS),
            ("HERALD_CHANNELS", "channel", set(self.channels), CHANNELS),
            ("HERALD_STRICT_TOPICS", "topic", set(self.strict_topics), TOPICS),
        ]
        for setting, kind, names, registered in named:
            if unknown := sorted(names - registered.keys()):
                message = f"{setting}: no such {kind}: {', '.join(unknown)}; registered: {', '.join(registered)}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> "Settings":
        if self.kafka_sasl_mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            message = "KAFKA_SASL_MECHANISM needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            raise ValueError(message)
        return self


S = TypeVar("S", bound=ExtensionSettings)


def variable(field: str) -> str:
    """How a setting is spelled in the environment."""
    known = Settings.model_fields.get(field)
    alias = known.validation_alias if known else None
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"HERALD_{field.upper()}"


@overload
def load_settings() -> Settings: ...
@overload
def load_settings(kind: type[S]) -> S: ...
def load_settings(kind: type[ExtensionSettings] = Settings) -> ExtensionSettings:
    """Read the settings, once per process start, and before them which extensions there are.

    Raises SettingsError with one line per wrong setting, or with what is wrong with an extension.
    """
    try:
        extend(ExtensionSettings().extensions)
        return kind()
    except ExtensionError as error:
        raise SettingsError(str(error)) from None
    except UnreadableError as error:
        field = re.search(r'field "(\w+)"', str(error))
        message = f"{variable(field[1]) if field else 'a setting'}: is not valid JSON: {error.__cause__}"
        raise SettingsError(message) from None
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(part) for part in error.errors())) from None


def _complaint(part: ErrorDetails) -> str:
    text = part["msg"].removeprefix("Value error, ")
    if not part["loc"]:
        return text
    name = "__".join([_spelled(str(part["loc"][0])), *(str(step) for step in part["loc"][1:])])
    if part["type"] == "missing":
        return f"{name} is not set; an example: postgresql://herald@localhost/herald"
    return f"{name}: {text}"


def _spelled(found: str) -> str:
    """As in the environment, what pydantic names by its field or by its alias."""
    spelled = found.upper()
    return spelled if spelled in map(variable, Settings.model_fields) else variable(found.lower())
