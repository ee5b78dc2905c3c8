"""The tables, as SQLAlchemy knows them: for queries, and for `alembic check`.

The migrations are the truth; partitions, triggers, functions and the view stand only there.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.sql.schema import SchemaItem
from sqlalchemy.types import UserDefinedType

from herald.outbox.message.state import STATUSES
from herald.outbox.message.upcasting import known_schemas
from herald.outbox.registry import SCOPES


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id; psycopg2 hands it out as text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The SQL name."""
        return "xid8"


class PgSnapshot(UserDefinedType[str]):
    """PostgreSQL's pg_snapshot, as text `xmin:xmax:xip,…`."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The SQL name."""
        return "pg_snapshot"


metadata = MetaData()
_instant = DateTime(timezone=True)
_empty = text("'{}'::jsonb")
_clock = text("clock_timestamp()")


def _known_schemas() -> str:
    """As the function `outbox_allow_event` puts it together from `event_types`."""
    types: dict[int, list[str]] = {}
    for name, schema in sorted(known_schemas()):
        types.setdefault(schema, []).append(f"'{name}'")
    return " OR ".join(f"schema = {schema} AND type IN ({', '.join(types[schema])})" for schema in sorted(types))


outbox = Table(
    "outbox",
    metadata,
    # a sequence of its own: identity columns of partitioned tables came with PostgreSQL 17 only
    Column("position", BigInteger, nullable=False, server_default=text("nextval('outbox_position'::regclass)")),
    Column("transaction_id", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("stream_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema", SmallInteger, nullable=False, server_default=text("1")),
    Column("topic", Text),
    Column("key", Text),
    Column("data", JSON),
    Column("payload", JSONB, nullable=False),
    Column("size", Integer),
    Column("recorded_at", _instant, nullable=False, server_default=_clock),
    PrimaryKeyConstraint("stream_id", "version", name="outbox_one_event_per_version"),
    CheckConstraint("version > 0", name="outbox_version_counts_from_one"),
    CheckConstraint(_known_schemas(), name="outbox_event_type_is_known"),
    Index("outbox_to_publish_by_transaction", "transaction_id", postgresql_where=text("topic IS NOT NULL")),
    Index("outbox_to_publish_by_position", "position", postgresql_where=text("topic IS NOT NULL")),
    postgresql_partition_by="RANGE (stream_id)",
)

event_types = Table(
    "event_types",
    metadata,
    Column("type", Text, nullable=False),
    Column("schema", SmallInteger, autoincrement=False, nullable=False),
    Column("since", Text, nullable=False),
    PrimaryKeyConstraint("type", "schema", name="event_types_one_row_per_schema"),
    CheckConstraint("schema > 0", name="event_types_schema_counts_from_one"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text),
    Column("data_version", Integer, nullable=False),
    Column("event", Text),
    Column("traceparent", Text),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("request", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("uncounted", Integer, nullable=False, server_default=text("0")),
    Column("unknowns", Integer, nullable=False, server_default=text("0")),
    Column("priority", SmallInteger, nullable=False, server_default=text("5")),
    Column("destination", Text),
    Column("reason", Text),
    Column("reason_code", Text),
    Column("due_at", _instant),
    Column("deliver_by", _instant),
    Column("requested_in", Xid8, nullable=False),
    Column("accepted_at", _instant, nullable=False),
    Column("updated_at", _instant, nullable=False),
    Column("sent_at", _instant),
    Column("actor", Text),
    Column("group_id", Uuid),
    Column("again_of", Uuid),
    PrimaryKeyConstraint("id", name="messages_one_row_per_stream"),
    CheckConstraint(
        "status IN ({})".format(", ".join(f"'{status}'" for status in STATUSES)), name="messages_status_is_known"
    ),
    CheckConstraint("(status = 'sent') = (sent_at IS NOT NULL)", name="messages_sent_has_its_date"),
    CheckConstraint("status <> 'sending' OR due_at IS NOT NULL", name="messages_sending_has_a_lease"),
    CheckConstraint("priority BETWEEN 0 AND 9", name="messages_priority_is_a_digit"),
    CheckConstraint(
        "status NOT IN ('scheduled', 'failed') OR due_at IS NOT NULL", name="messages_waiting_has_its_date"
    ),
    Index("messages_of_a_key", "topic", "key", "id"),
    Index("messages_of_an_event", "event", "id", postgresql_where=text("event IS NOT NULL")),
    Index("messages_of_a_group", "group_id", "id", postgresql_where=text("group_id IS NOT NULL")),
    Index("messages_sent_again", "again_of", postgresql_where=text("again_of IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)

unfinished = Table(
    "unfinished",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("deliver_by", _instant),
    PrimaryKeyConstraint("id", name="unfinished_once"),
    Index("unfinished_to_expire", "deliver_by", postgresql_where=text("deliver_by IS NOT NULL")),
)

waiting = Table(
    "waiting",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text),
    Column("destination", Text),
    Column("priority", SmallInteger, nullable=False),
    Column("request", Integer, nullable=False),
    Column("due_at", _instant),
    Column("accepted_at", _instant, nullable=False),
    Column("line", Text(collation="C")),
    PrimaryKeyConstraint("id", name="waiting_once"),
    Index("waiting_due", "priority", "due_at", postgresql_where=text("due_at IS NOT NULL AND line IS NULL")),
    Index("waiting_in_line", "line", "accepted_at", "id", postgresql_where=text("line IS NOT NULL")),
    Index(
        "waiting_for_a_destination",
        "destination",
        "priority",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index("waiting_of_a_key", "topic", "key", "accepted_at", "id"),
)

unsent = Table(
    "unsent",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text),
    PrimaryKeyConstraint("id", name="unsent_once"),
    Index("unsent_by_status", "status", "id"),
)

leases = Table(
    "leases",
    metadata,
    Column("until", _instant, nullable=False),
    Column("ids", ARRAY(Uuid), nullable=False),
    Column("topic", Text),
    Column("key", Text),
    Index("leases_by_end", "until"),
    Index("leases_of_a_key", "topic", "key", postgresql_where=text("key IS NOT NULL")),
)

relay_cursor = Table(
    "relay_cursor",
    metadata,
    Column("name", Text, nullable=False),
    Column("previous", PgSnapshot, nullable=False),
    Column("target", PgSnapshot),
    Column("last_position", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("system_identifier", Text, nullable=False),
    Column("timeline", Integer, nullable=False),
    Column("cluster_id", Text),
    Column("topic_ids", JSONB, nullable=False, server_default=_empty),
    Column("widths", JSONB, nullable=False, server_default=_empty),
    Column("saved_at", _instant, nullable=False, server_default=_clock),
    PrimaryKeyConstraint("name", name="relay_cursor_one_per_relay"),
)

relay_pages = Table(
    "relay_pages",
    metadata,
    Column("epoch", BigInteger, autoincrement=False, nullable=False),
    Column("snapshot", PgSnapshot, nullable=False),
    Column("end_offsets", JSONB, nullable=False),
    Column("published_at", _instant, nullable=False, server_default=_clock),
    PrimaryKeyConstraint("epoch", name="relay_pages_one_per_epoch"),
)

relay_withheld = Table(
    "relay_withheld",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, autoincrement=False, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("previous", PgSnapshot, nullable=False),
    Column("target", PgSnapshot),
    Column("last_position", BigInteger, nullable=False),
    Column("waiting", BigInteger, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False),
    Column("since", _instant, nullable=False, server_default=_clock),
    PrimaryKeyConstraint("topic", "partition", name="relay_withheld_once"),
    CheckConstraint("partition = -1 OR partition BETWEEN 0 AND partitions - 1", name="relay_withheld_partition_exists"),
)
set_aside = Table(
    "set_aside",
    metadata,
    Column("stream_id", Uuid, nullable=False),
    Column("version", Integer, autoincrement=False, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("topic", Text),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("since", _instant, nullable=False, server_default=_clock),
    Column("decision", Text),
    Column("decided_at", _instant),
    Column("decided_by", Text),
    Column("decided_because", Text),
    PrimaryKeyConstraint("stream_id", "version", name="set_aside_one_per_event"),
    CheckConstraint("reason IN ('unreadable', 'unpublishable', 'refused')", name="set_aside_reason_is_known"),
    CheckConstraint("decision IN ('published', 'discarded')", name="set_aside_decision_is_known"),
    CheckConstraint(
        "num_nulls(decision, decided_at, decided_by) IN (0, 3)", name="set_aside_decision_has_its_date_and_person"
    ),
    Index("set_aside_undecided", "since", "stream_id", "version", postgresql_where=text("decision IS NULL")),
)

breakers = Table(
    "breakers",
    metadata,
    Column("destination", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("opened_at", _instant),
    Column("probes", Integer, nullable=False, server_default=text("0")),
    Column("probe_at", _instant),
    Column("probe_id", Uuid),
    Column("probe_until", _instant),
    Column("closed_at", _instant),
    Column("released", Integer, nullable=False, server_default=text("0")),
    Column("reason", Text),
    PrimaryKeyConstraint("destination", name="breakers_one_per_destination"),
    CheckConstraint("(opened_at IS NULL) = (probe_at IS NULL)", name="breakers_open_has_its_probe"),
    CheckConstraint("opened_at IS NULL OR closed_at IS NULL", name="breakers_open_or_closed"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("scope", Text, nullable=False),
    Column("reason", Text),
    Column("paused_at", _instant, nullable=False, server_default=_clock),
    Column("actor", Text),
    PrimaryKeyConstraint("scope", name="pauses_one_per_scope"),
)


def _make_idempotency_keys(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("key", Uuid, nullable=False),
        Column("fingerprint", Uuid, nullable=False),
        Column("ids", ARRAY(Uuid), nullable=False),
        Column("kept_until", _instant, nullable=False),
        PrimaryKeyConstraint("key", name=f"{name}_one_request_per_key"),
        Index(f"{name}_by_date", "kept_until"),
    )


def _only_row(table: str, check: str) -> tuple[SchemaItem, ...]:
    """What keeps a table to one row."""
    return (
        Column("is_only", Boolean, nullable=False, server_default=text("true")),
        PrimaryKeyConstraint("is_only", name=f"{table}_one_row"),
        CheckConstraint("is_only", name=check),
    )


requeues = Table(
    "requeues",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("filter", JSONB, nullable=False),
    Column("rate", Double, nullable=False),
    Column("requested_at", _instant, nullable=False, server_default=_clock),
    Column("last_step_at", _instant, nullable=False, server_default=_clock),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False, server_default=text("0")),
    Column("last_id", Uuid, nullable=False, server_default=text("'00000000-0000-0000-0000-000000000000'::uuid")),
    Column("finished_at", _instant),
    Column("is_stopped", Boolean, nullable=False, server_default=text("false")),
    Column("actor", Text),
    PrimaryKeyConstraint("id", name="requeues_one_row_per_job"),
    CheckConstraint("rate > 0", name="requeues_have_a_rate"),
    Index("requeues_under_way", "id", postgresql_where=text("finished_at IS NULL")),
)

closing = Table(
    "closing",
    metadata,
    *_only_row("closing", "closing_is_the_only_one"),
    Column("horizon", Uuid, nullable=False, server_default=text("'00000000-0000-0000-0000-000000000000'::uuid")),
    Column("closed_at", _instant),
    Column("bound", Uuid),
    Column("kept_since", _instant),
    Column("copied_to", Uuid),
    Column("waits_for", Text),
    CheckConstraint("num_nulls(bound, kept_since, copied_to) IN (0, 3)", name="closing_is_under_way_or_not"),
)

instance = Table(
    "instance",
    metadata,
    *_only_row("instance", "instance_is_the_only_one"),
    Column("id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("system_identifier", Text, nullable=False),
    Column("database", BigInteger, nullable=False),
    Column("database_name", Text, nullable=False),
    Column("timeline", Integer, nullable=False),
    Column("source", Text),
    Column("topic_prefix", Text),
)

senders = Table(
    "senders",
    metadata,
    Column("login", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("topics", ARRAY(Text)),
    Column("cancels", Text, nullable=False, server_default=text("'own'::text")),
    PrimaryKeyConstraint("login", name="senders_one_row_per_login"),
    CheckConstraint("length(owner) BETWEEN 1 AND 255", name="senders_owner_is_a_name"),
    CheckConstraint("cancels IN ('own', 'any')", name="senders_cancel_their_own_or_any"),
)
sender_rates = Table(
    "sender_rates",
    metadata,
    Column("owner", Text, nullable=False),
    Column("per_second", Double, nullable=False),
    Column("burst", Integer, nullable=False),
    PrimaryKeyConstraint("owner", name="sender_rates_one_row_per_owner"),
    CheckConstraint(
        "per_second BETWEEN 0.001 AND 1000000 AND burst BETWEEN 1 AND 1000000", name="sender_rates_are_positive"
    ),
)
topics = Table(
    "topics",
    metadata,
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("name", name="topics_once"),
    CheckConstraint(
        "name ~ '^[A-Za-z0-9._-]{1,249}$' AND name !~ '^(__|[.]{1,2}$)'", name="topics_have_names_that_kafka_takes"
    ),
)
channels = Table(
    "channels", metadata, Column("name", Text, nullable=False), PrimaryKeyConstraint("name", name="channels_once")
)
limits = Table(
    "limits",
    metadata,
    *_only_row("limits", "limits_are_the_only_ones"),
    Column("max_body", Integer, nullable=False, server_default=text("2097152")),
    Column("max_bulk_body", Integer, nullable=False, server_default=text("16777216")),
    Column("max_ahead", Double, nullable=False, server_default=text("31622400")),
    Column("idempotency_ttl", Double, nullable=False, server_default=text("86400")),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("topics", ARRAY(Text)),
    Column("made_at", _instant, nullable=False, server_default=_clock),
    Column("expires_at", _instant),
    Column("revoked_at", _instant),
    PrimaryKeyConstraint("id", name="api_keys_one_row_per_key"),
    CheckConstraint("length(name) BETWEEN 1 AND 100 AND length(owner) BETWEEN 1 AND 100", name="api_keys_are_named"),
    CheckConstraint("octet_length(hash) = 32", name="api_keys_hash_is_a_sha256"),
    CheckConstraint(
        f"scopes <> '{{}}' AND scopes <@ ARRAY[{', '.join(map(repr, SCOPES))}]", name="api_keys_scopes_are_known"
    ),
    CheckConstraint(
        "topics IS NULL OR topics <> '{}' AND NOT scopes && ARRAY['decide', 'operate']",
        name="api_keys_topics_do_not_limit_decisions",
    ),
)

api_key_uses = Table(
    "api_key_uses",
    metadata,
    Column("id", Text, nullable=False),
    Column("last_used_at", _instant, nullable=False),
    PrimaryKeyConstraint("id", name="api_key_uses_one_row_per_key"),
)

api_key_changes = Table(
    "api_key_changes",
    metadata,
    *_only_row("api_key_changes", "api_key_changes_are_the_only_ones"),
    Column("number", BigInteger, nullable=False, server_default=text("0")),
)

closing_changes = Table("closing_changes", metadata, Column("id", Uuid, nullable=False))

idempotency_keys_even = _make_idempotency_keys("idempotency_keys_even")
idempotency_keys_odd = _make_idempotency_keys("idempotency_keys_odd")
