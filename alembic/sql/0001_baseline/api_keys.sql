-- Who may ask the API, and what for. Of a key only its SHA-256 is kept.

CREATE TABLE api_keys (
    id text NOT NULL,  -- the part of a key that is no secret
    name text NOT NULL,  -- what events call it; its successors have it too
    owner text NOT NULL,  -- whose Idempotency-Keys are the same
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    topics text[],  -- null: every one
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_one_row_per_key PRIMARY KEY (id),
    CONSTRAINT api_keys_are_named CHECK (length(name) BETWEEN 1 AND 100 AND length(owner) BETWEEN 1 AND 100),
    CONSTRAINT api_keys_hash_is_a_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT api_keys_scopes_are_known
        CHECK (scopes <> '{}' AND scopes <@ ARRAY['send', 'read', 'read:content', 'decide', 'operate']),
    CONSTRAINT api_keys_topics_do_not_limit_decisions
        CHECK (topics IS NULL OR topics <> '{}' AND NOT scopes && ARRAY['decide', 'operate'])
);

-- Apart: who may note this may not write keys.
CREATE TABLE api_key_uses (
    id text NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT api_key_uses_one_row_per_key PRIMARY KEY (id)
);

-- What the processes of the API read four times a second: keys are read again when it has moved.
CREATE TABLE api_key_changes (
    is_only boolean NOT NULL DEFAULT true,
    number bigint NOT NULL DEFAULT 0,
    CONSTRAINT api_key_changes_one_row PRIMARY KEY (is_only),
    CONSTRAINT api_key_changes_are_the_only_ones CHECK (is_only)
);
INSERT INTO api_key_changes DEFAULT VALUES;

CREATE FUNCTION api_keys_note_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE api_key_changes SET number = number + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER api_keys_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_note_change();
