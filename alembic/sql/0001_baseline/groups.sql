-- What was asked for together has the same `group_id`, and is taken back as one.

-- Takes back what can be of the next thousand messages of a group, behind that id: of all, or of those that one of `whose`
-- sent and that are on these topics. Without an id it begins. Returns the id of the last one, null where there are no more,
-- how many there were, and how many of them others hold: nobody is waited for, and what stays is let go of at once.
CREATE FUNCTION cancel_group(family uuid, behind uuid, actor text, whose text[], on_topics text[],
                             OUT last uuid, OUT looked integer, OUT held integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    most CONSTANT integer := 1000;
    first CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    wanted uuid[];
    locked uuid[];
BEGIN
    held := 0;
    SELECT count(*) FILTER (WHERE page.is_ones), (array_agg(page.id))[most],
        array_agg(page.id) FILTER (WHERE page.is_ones AND page.fits)
    INTO looked, last, wanted
    FROM (
        SELECT m.id, is_sent_by(m.actor, whose) AS is_ones, can_be_taken_back(m) AS fits
        FROM messages AS m WHERE m.group_id = family AND m.id > coalesce(behind, first)
            AND m.topic = ANY (coalesce(on_topics, ARRAY[m.topic]))
        ORDER BY m.id LIMIT most
    ) AS page;
    WHILE wanted <> '{}' LOOP
        BEGIN
            locked := ARRAY(
                SELECT m.id FROM messages AS m WHERE m.id = ANY (wanted) ORDER BY m.id FOR NO KEY UPDATE SKIP LOCKED);
            held := held + cardinality(wanted) - cardinality(locked);
            wanted := ARRAY(SELECT m.id FROM messages AS m WHERE m.id = ANY (locked) AND can_be_taken_back(m));
            IF wanted = '{}' OR cardinality(wanted) < cardinality(locked) THEN
                RAISE SQLSTATE 'ZH001';  -- some moved meanwhile: let go of all, and begin again without these
            END IF;
            PERFORM take_back(wanted, actor);
            RETURN;
        EXCEPTION WHEN SQLSTATE 'ZH001' THEN
            NULL;
        END;
    END LOOP;
END $$;

-- All of a group, in the caller's transaction: whether nothing of it will be delivered. `whose` is null for who may cancel
-- what others sent.
CREATE FUNCTION cancel_together(family uuid, actor text, whose text[]) RETURNS boolean LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    behind uuid;
    are_cancelled boolean;
    is_ones_own boolean;
BEGIN
    LOOP
        SELECT last INTO behind FROM cancel_group(family, behind, actor, whose, NULL);
        EXIT WHEN behind IS NULL;
    END LOOP;
    SELECT bool_and(m.status = 'cancelled'), bool_or(is_sent_by(m.actor, whose)) INTO are_cancelled, is_ones_own
    FROM messages AS m WHERE m.group_id = family;
    IF NOT is_ones_own THEN
        PERFORM refuse_cancel(actor);
    END IF;
    RETURN coalesce(are_cancelled, false);
END $$;

CREATE FUNCTION refuse_cancel(actor text) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM refuse('id', format('%s may cancel its own messages only', actor),
        'an operator allows others in the table senders', '403');
END $$;
