-- Nobody writes from here on until the tables are gone.

LOCK TABLE outbox, relay_withheld;
DO $$
BEGIN
    IF EXISTS (SELECT FROM relay_withheld) THEN
        RAISE EXCEPTION 'relay_withheld stands for records that are not yet published: wait until the relay has'
            ' caught up and the table is empty';
    END IF;
    IF EXISTS (SELECT FROM outbox) THEN
        RAISE EXCEPTION 'the log in the schema % holds messages, which a downgrade would drop', current_schema()
            USING HINT = format('where they may go: alembic -x drop=%s downgrade base', current_schema());
    END IF;
END $$;
