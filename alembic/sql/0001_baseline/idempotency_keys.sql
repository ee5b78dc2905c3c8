-- Two tables that take turns, so that old keys leave by TRUNCATE.

CREATE TABLE idempotency_keys_even (
    key uuid NOT NULL,
    fingerprint uuid NOT NULL,
    ids uuid[] NOT NULL,
    kept_until timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_even_one_request_per_key PRIMARY KEY (key)
);
CREATE INDEX idempotency_keys_even_by_date ON idempotency_keys_even (kept_until);

CREATE TABLE idempotency_keys_odd (
    key uuid NOT NULL,
    fingerprint uuid NOT NULL,
    ids uuid[] NOT NULL,
    kept_until timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_odd_one_request_per_key PRIMARY KEY (key)
);
CREATE INDEX idempotency_keys_odd_by_date ON idempotency_keys_odd (kept_until);

CREATE FUNCTION idempotency_keys_are_expired(keys regclass) RETURNS boolean LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
DECLARE
    newest timestamptz;
BEGIN
    EXECUTE format('SELECT max(kept_until) FROM %s', keys) INTO newest;
    RETURN coalesce(newest <= clock_timestamp(), false);
END $$;

-- One statement, so that a relay that freezes in the middle does not keep the lock. Who waits for it holds up every
-- request with a key, hence the short timeout; a row may come while it waits, hence the second look.
CREATE FUNCTION idempotency_keys_empty(keys regclass) RETURNS boolean LANGUAGE plpgsql
    SET search_path FROM CURRENT SET lock_timeout = '50ms' AS $$
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
