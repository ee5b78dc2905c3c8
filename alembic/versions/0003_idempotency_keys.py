"""Idempotency keys: two tables that take turns, so that old keys leave by TRUNCATE.

Expands: the release before ignores them, and may run beside this one.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE idempotency_keys_{turn} (
    key uuid NOT NULL,
    fingerprint uuid NOT NULL,
    ids uuid[] NOT NULL,
    kept_until timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_{turn}_one_request_per_key PRIMARY KEY (key)
);

CREATE INDEX idempotency_keys_{turn}_by_date ON idempotency_keys_{turn} (kept_until);
"""

# One statement, so that a relay that freezes in the middle does not keep the lock. Who waits for it
# holds up every request with a key, hence the short timeout; a row may come while it waits, hence the
# second look.
EMPTY = """
CREATE FUNCTION idempotency_keys_are_expired(keys regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    newest timestamptz;
BEGIN
    EXECUTE format('SELECT max(kept_until) FROM %s', keys) INTO newest;
    RETURN coalesce(newest <= clock_timestamp(), false);
END $$;

CREATE FUNCTION idempotency_keys_empty(keys regclass) RETURNS boolean LANGUAGE plpgsql
    SET lock_timeout = '200ms' AS $$
BEGIN
    IF NOT idempotency_keys_are_expired(keys) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %s', keys);
    IF NOT idempotency_keys_are_expired(keys) THEN
        RETURN false;
    END IF;
    EXECUTE format('TRUNCATE %s', keys);
    RETURN true;
END $$;
"""

DROP = """
DROP FUNCTION idempotency_keys_empty(regclass), idempotency_keys_are_expired(regclass);
DROP TABLE idempotency_keys_odd, idempotency_keys_even;
"""


def upgrade() -> None:
    """Create them."""
    for statements in (TABLE.format(turn="even"), TABLE.format(turn="odd"), EMPTY):
        op.execute(statements)


def downgrade() -> None:
    """Drop them: a request that is repeated afterwards is accepted a second time."""
    op.execute(DROP)
