-- What the API checks of what a caller sends (outbox/message/, api/shapes/), refused with the same status: SQLSTATE is ZH
-- and the status of HTTP. Nothing here depends on how a session reads a backslash.

CREATE FUNCTION refuse(field text, detail text, hint text, status text DEFAULT '400') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'ZH' || status, MESSAGE = format('%s: %s', field, detail), DETAIL = field,
        COLUMN = field, HINT = hint;
END $$;

-- So many characters that a number with an exponent has more when it is written out, as jsonb does it
-- (outbox/message/numbers.py).
CREATE FUNCTION digits_written_out(raw text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(sum(
        length(sign) + greatest(1, CASE WHEN digits = '' THEN 0 ELSE length(digits) - length(fraction) + shift END)
        + CASE WHEN length(fraction) > shift THEN 1 + length(fraction) - shift ELSE 0 END - length(number)), 0)::bigint
    FROM regexp_matches(regexp_replace(raw, E'"([^"\\\\]|\\\\.)*"', '', 'g'),
            '((-?)([0-9]+)(?:[.]([0-9]+))?[eE]([-+]?[0-9]+))', 'g') AS found,
        LATERAL (SELECT found[1] AS number, found[2] AS sign, coalesce(found[4], '') AS fraction,
            ltrim(found[3] || coalesce(found[4], ''), '0') AS digits, found[5]::bigint AS shift) AS parts
$$;

CREATE FUNCTION is_nested_deeper(raw text, levels integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    brackets text := raw;
BEGIN
    IF 2 * octet_length(raw) - octet_length(replace(raw, '[', '')) - octet_length(replace(raw, '{', '')) <= levels THEN
        RETURN false;
    END IF;
    brackets := regexp_replace(regexp_replace(brackets, E'\\\\.', '', 'g'), '"[^"]*"', '', 'g');
    brackets := translate(regexp_replace(brackets, '[^][{}]', '', 'g'), '[]{}', '()()');
    FOR level IN 1..levels LOOP
        brackets := replace(brackets, '()', '');
    END LOOP;
    RETURN brackets <> '';
END $$;

CREATE FUNCTION parsed_json(given json, field text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN given::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    PERFORM refuse(field, format('PostgreSQL cannot store it: %s', SQLERRM),
        'NUL, half of a surrogate pair, or a number with too many digits: leave it out');
END $$;

-- JSON that jsonb and the API take: an object, not too large as it is read back, not nested too deep; without the spaces
-- around it. What has no escape of Unicode, no exponent and no room for a number of 16,383 digits jsonb takes, untried.
CREATE FUNCTION checked_json(given json, field text, most integer) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    raw text := given::text;
    levels CONSTANT integer := 31;  -- the API takes 32, of which its own object is one
    parsed jsonb;
BEGIN
    IF octet_length(raw) > most THEN
        PERFORM refuse(field, format('%s bytes, the limit is %s', octet_length(raw), most),
            'put what is large elsewhere and send where it is (HERALD_MAX_BODY)', '413');
    END IF;
    IF coalesce(json_typeof(given), 'null') <> 'object' THEN
        PERFORM refuse(field, 'must be a JSON object', 'pass an object, as in ''{"order": 7}''');
    END IF;
    IF is_nested_deeper(raw, levels) THEN
        PERFORM refuse(field, format('nested deeper than the limit of %s levels', levels), 'make it flatter');
    END IF;
    IF octet_length(raw) >= 16383 OR raw ~ E'\\\\u|[0-9][eE]' THEN
        parsed := parsed_json(given, field);
        IF raw ~ '[0-9][eE][-+]?[0-9]' AND octet_length(raw) + digits_written_out(raw) > most THEN
            PERFORM refuse(field, format('too many digits when its numbers are written out; the limit is %s bytes in all',
                most), 'send such numbers as text');
        END IF;
    END IF;
    RETURN CASE WHEN raw LIKE '{%}' THEN given ELSE btrim(raw, E' \t\r\n')::json END;
END $$;

-- A text of 1 to `most` characters, or null where it is absent or null.
CREATE FUNCTION checked_text(asked jsonb, name text, most integer, within text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kind text := jsonb_typeof(asked -> name);
    value text := asked ->> name;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    IF kind <> 'string' THEN
        PERFORM refuse(within || name, format('must be text, not %s', kind), 'put it in quotes');
    ELSIF length(value) NOT BETWEEN 1 AND most THEN
        PERFORM refuse(within || name, format('%s characters, the limits are 1 and %s', length(value), most),
            'leave it out, or make it shorter');
    END IF;
    RETURN value;
END $$;

CREATE FUNCTION checked_date(asked jsonb, name text, within text, max_ahead double precision) RETURNS timestamptz
    LANGUAGE plpgsql AS $$
DECLARE
    value text := upper(asked ->> name);
    at timestamptz;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(asked -> name) <> 'string' OR value !~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3])'
            ':[0-5][0-9]:[0-5][0-9]([.][0-9]+)?(Z|[-+]([01][0-9]|2[0-3]):?[0-5][0-9])$') THEN
        PERFORM refuse(within || name, 'is no date of RFC 3339 with an offset from UTC',
            'write it as 2027-01-01T09:00:00+01:00');
    END IF;
    BEGIN
        at := value::timestamptz;
    EXCEPTION WHEN data_exception THEN
        PERFORM refuse(within || name, 'is no date that PostgreSQL takes: the offset is below 16 hours',
            'write it as 2027-01-01T09:00:00+01:00');
    END;
    IF at < '0001-01-01 00:00 UTC' OR at >= '10000-01-01 00:00 UTC' THEN
        PERFORM refuse(within || name, 'lies outside the years 1 to 9999 in UTC', 'correct the year');
    ELSIF at > clock_timestamp() + make_interval(secs => max_ahead) THEN
        PERFORM refuse(within || name, format('more than %s days ahead, the limit (HERALD_MAX_AHEAD)',
            max_ahead / 86400), 'choose an earlier date');
    END IF;
    RETURN at;
END $$;

-- When it is to be delivered. `priority` is the number as it was written.
CREATE FUNCTION checked_dates(asked jsonb, urgency text, within text, max_ahead double precision,
                              OUT deliver_at timestamptz, OUT deliver_by timestamptz, OUT priority smallint)
    LANGUAGE plpgsql AS $$
BEGIN
    IF urgency IS NOT NULL THEN
        IF jsonb_typeof(asked -> 'priority') <> 'number' OR urgency !~ '^(-?0|[1-9])$' THEN
            PERFORM refuse(within || 'priority', 'must be a whole number from 0 to 9', '9 is the most urgent');
        END IF;
        priority := urgency::smallint;
    END IF;
    IF NOT asked ?| ARRAY['deliver_at', 'deliver_by'] THEN
        RETURN;
    END IF;
    deliver_at := checked_date(asked, 'deliver_at', within, max_ahead);
    deliver_by := checked_date(asked, 'deliver_by', within, max_ahead);
    IF deliver_by <= clock_timestamp() THEN
        PERFORM refuse(within || 'deliver_by', 'has passed already', 'choose a date to come, or leave it out');
    ELSIF deliver_by <= deliver_at THEN
        PERFORM refuse(within || 'deliver_by', 'must come after deliver_at', 'choose a later date');
    END IF;
END $$;

CREATE FUNCTION checked_fields(asked jsonb, known text[], within text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stray text;
BEGIN
    IF asked - known <> '{}' THEN
        SELECT left(min(k), 255) INTO stray FROM jsonb_object_keys(asked - known) AS k;
        PERFORM refuse(within || stray, 'unknown field', 'known here: ' || array_to_string(known, ', '));
    END IF;
END $$;

-- A notification as it is kept: the canonical form of its fields, but for the user's id, which comes before `rest`.
-- What it needs is named after `within`, what it may have after `beside`.
CREATE FUNCTION checked_notification(asked jsonb, urgency text, within text, beside text,
                                     max_ahead double precision, OUT rest text, OUT deliver_at timestamptz,
                                     OUT deliver_by timestamptz, OUT priority smallint)
    LANGUAGE plpgsql AS $$
DECLARE
    dates record;
    name text;
    event text;
    content text;
    channel text;
    address text;
    subject text;
BEGIN
    PERFORM checked_fields(asked, ARRAY['user_id', 'event', 'content', 'channel', 'address', 'subject', 'deliver_at',
        'deliver_by', 'priority'], within);
    FOREACH name IN ARRAY ARRAY['user_id', 'event', 'content'] LOOP
        IF asked ->> name IS NULL THEN
            PERFORM refuse(within || name, 'is required', 'a notification has user_id, event and content');
        END IF;
    END LOOP;
    dates := checked_dates(asked, urgency, beside, max_ahead);
    deliver_at := dates.deliver_at;
    deliver_by := dates.deliver_by;
    priority := dates.priority;
    event := checked_text(asked, 'event', 255, within);
    content := checked_text(asked, 'content', 1000000, within);
    channel := checked_text(asked, 'channel', 255, beside);
    address := checked_text(asked, 'address', 2048, beside);
    subject := checked_text(asked, 'subject', 255, beside);
    IF subject ~ E'[\\u0001-\\u001f\\u007f-\\u009f\\u2028\\u2029]' THEN
        PERFORM refuse(beside || 'subject', 'contains no control characters', 'write it in one line');
    END IF;
    IF channel IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM channels AS c WHERE c.name = channel) THEN
            PERFORM refuse(beside || 'channel', format('no such channel: %s', channel),
                'registered: ' || (SELECT string_agg(c.name, ', ' ORDER BY c.name) FROM channels AS c));
        END IF;
    END IF;
    rest := ',' || substr(json_strip_nulls(json_build_object('event', event, 'content', content, 'channel', channel,
        'address', address, 'subject', subject, 'deliver_at', deliver_at, 'deliver_by', deliver_by,
        'priority', priority))::text, 2);
END $$;

-- A user's id: text, or an integer, which is kept as text.
CREATE FUNCTION checked_user(user_id text, is_number boolean, field text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF is_number AND user_id !~ '^-?(0|[1-9][0-9]*)$' THEN
        PERFORM refuse(field, 'must be text or an integer', 'put it in quotes');
    ELSIF user_id IS NULL OR length(user_id) NOT BETWEEN 1 AND 255 THEN
        PERFORM refuse(field, format('%s characters, the limits are 1 and 255', coalesce(length(user_id), 0)),
            'name the user');
    END IF;
    RETURN CASE WHEN is_number AND user_id = '-0' THEN '0' ELSE user_id END;
END $$;
