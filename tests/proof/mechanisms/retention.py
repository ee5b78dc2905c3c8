"""Old: what leaves, and what is carried over."""

from tests.proof.mechanisms.removal import Edit, Removal

RETENTION = "tests/outbox/scheduler/test_retention.py"
CLOSING = "alembic/sql/0001_baseline/closing.sql"

REMOVALS = (
    Removal(
        "partitions are replaced by one that holds what is kept",
        (
            Edit(
                "outbox/scheduler/retention.py",
                'if not _call(connection, "(SELECT bound IS NOT NULL FROM closing)"):',
                "if since:",
            ),
        ),
        (
            (
                "tests/proof/end_to_end/test_24_hours.py"
                "::test_a_day_of_traffic_leaves_the_tables_flat_and_loses_nothing_that_was_not_over"
            ),
            f"{RETENTION}::test_what_has_ended_leaves_and_what_has_not_is_carried_over",
        ),
    ),
    Removal(
        "a trigger notes what changes meanwhile",
        (Edit(CLOSING, "INSERT INTO closing_changes VALUES (NEW.id);", "NULL;"),),
        (
            f"{RETENTION}::test_what_changes_while_the_books_are_being_closed_is_carried_as_it_is",
            f"{RETENTION}::test_a_closing_that_crashed_anywhere_goes_on_and_loses_nothing",
        ),
    ),
    Removal(
        "the locks are tried for 50 ms",
        (
            Edit(
                CLOSING,
                "OUT milliseconds double precision) LANGUAGE plpgsql\n"
                "    SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '50ms' AS $$",
                "OUT milliseconds double precision) LANGUAGE plpgsql\n"
                "    SECURITY DEFINER SET search_path FROM CURRENT AS $$",
            ),
        ),
        (f"{RETENTION}::test_a_reader_that_keeps_its_transaction_open_stops_no_writer",),
    ),
    Removal(
        "and held for one short statement",
        (Edit(CLOSING, "    PERFORM closing_catch_up();\n    FOREACH", "    PERFORM pg_sleep(20);\n    FOREACH"),),
        ("tests/proof/end_to_end/test_closing_books.py::test_no_caller_gets_an_error_while_the_books_are_closed",),
    ),
    Removal(
        "below the horizon, what the database does not know has left",
        (Edit("pipeline/work/transaction.py", " and one.id >= horizon]", "]"),),
        ("tests/pipeline/work/test_ledger.py::test_a_copy_of_a_message_that_ended_and_left_is_dropped",),
    ),
)
