"""Sending by SQL, in the caller's transaction."""

from tests.proof.mechanisms.removal import Edit, Removal

SEND = "alembic/sql/0001_baseline/send.sql"
GROUPS = "alembic/sql/0001_baseline/groups.sql"
SENDERS = "alembic/sql/0001_baseline/senders.sql"
TESTS = "tests/outbox/acceptance/sql"
ROUTES = "tests/api/routes/test_groups.py"
ACTORS = "tests/api/routes/test_actors.py"
CALLERS = "tests/proof/callers"

REMOVALS = (
    Removal(
        "what is sent by SQL is written in the caller's transaction",
        (Edit(SEND, "    PERFORM write_sent(who, ARRAY[made]);\n", ""),),
        (
            f"{TESTS}/test_sending.py::test_what_commits_is_in_the_log_as_it_was_given",
            f"{TESTS}/test_sending.py::test_what_is_rolled_back_was_never_sent",
            f"{TESTS}/test_sending.py::test_a_prepared_transaction_sends_when_it_is_committed",
            f"{CALLERS}/test_ways.py::test_from_each_way_in_each_isolation_level_what_commits_is_sent_and_nothing_else",
            f"{CALLERS}/test_ways.py::test_a_caller_that_is_killed_leaves_its_row_and_its_message_or_neither",
        ),
    ),
    Removal(
        "a send in a caller's transaction wakes the relay by what it draws",
        (Edit("outbox/relay/sends.py", "        if drawn != self._drawn:\n", "        if False:\n"),),
        ("tests/outbox/relay/test_sends.py::test_a_relay_at_rest_is_woken_by_a_send",),
    ),
    Removal(
        "a send whose transaction is long is looked for when it ends",
        (Edit("outbox/relay/sends.py", "            self._running = _running(snapshot)\n", ""),),
        ("tests/outbox/relay/test_sends.py::test_a_send_that_commits_late_is_looked_for_when_it_does",),
    ),
    Removal(
        "a key takes back, and sends again, what keys of its owner sent",
        (
            Edit(
                "alembic/sql/0001_baseline/moves.sql",
                "RETURN whose IS NULL OR (actor = ANY (whose)) IS TRUE;",
                "RETURN true;",
            ),
        ),
        (
            f"{ACTORS}::test_a_key_moves_what_keys_of_its_owner_sent_also_one_that_is_good_no_more",
            f"{ACTORS}::test_what_no_key_sent_is_moved_by_who_decides_and_nobody_else",
        ),
    ),
    Removal(
        "a cancel by SQL skips a row that is held",
        (Edit(SEND, "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE"),),
        (f"{TESTS}/test_cancelling.py::test_a_held_row_is_not_waited_for",),
    ),
    Removal(
        "a cancel over HTTP skips a row that is held",
        (Edit("alembic/sql/0001_baseline/moves.sql", "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE"),),
        ("tests/outbox/moves/test_cancel.py::test_a_cancel_waits_for_no_transaction",),
    ),
    Removal(
        "a refusal skips a row that is held",
        (Edit("outbox/moves/reject.py", "FOR NO KEY UPDATE OF m SKIP LOCKED", "FOR NO KEY UPDATE OF m"),),
        ("tests/outbox/moves/test_cancel.py::test_a_refusal_waits_for_no_transaction",),
    ),
    Removal(
        "a cancel by SQL that comes too late lets go of the row",
        (Edit(SEND, "    RAISE SQLSTATE 'ZH001';", "    RETURN is_cancelled;"),),
        (f"{TESTS}/test_cancelling.py::test_what_stays_is_let_go_of_at_once",),
    ),
    Removal(
        "a cancel of a group skips rows that are held",
        (Edit(GROUPS, "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE"),),
        (f"{TESTS}/test_cancelling_groups.py::test_what_others_hold_of_a_group_is_not_waited_for",),
    ),
    Removal(
        "what of a group moved before it was locked is let go of",
        (Edit(GROUPS, "IF wanted = '{}' OR cardinality(wanted) < cardinality(locked) THEN", "IF wanted = '{}' THEN"),),
        ("tests/outbox/moves/test_cancel_group.py::test_what_moved_before_it_was_locked_is_let_go_of_at_once",),
    ),
    Removal(
        "a group is cancelled a thousand at a time",
        (Edit(GROUPS, "most CONSTANT integer := 1000;", "most CONSTANT integer := 1000000;"),),
        (f"{ROUTES}::test_a_group_of_several_thousand_is_cancelled_by_one_request",),
    ),
    Removal(
        "the ids of groups are kept with the request's key",
        (
            Edit(
                "outbox/acceptance/submitted.py",
                "return [*(row.id for row in self.rows), *groups_of(self.rows)]",
                "return [row.id for row in self.rows]",
            ),
        ),
        (f"{ROUTES}::test_a_repeated_request_is_answered_with_the_same_group",),
    ),
    Removal(
        "a key that another transaction handles is refused by a lock that is only tried",
        (
            Edit(
                "alembic/sql/0001_baseline/asked.sql",
                "IF NOT pg_try_advisory_xact_lock(",
                "IF false AND NOT pg_try_advisory_xact_lock(",
            ),
        ),
        (f"{TESTS}/test_keys.py::test_a_key_in_use_elsewhere_is_refused_and_not_waited_for",),
    ),
    Removal(
        "nothing is executable by everybody",
        (
            Edit(
                "alembic/sql/0001_baseline/roles.sql",
                "    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC', current_schema());\n",
                "",
            ),
        ),
        (
            f"{TESTS}/test_rights.py::test_a_sender_may_call_four_functions_and_nothing_else",
            f"{TESTS}/test_rights.py::test_nothing_is_executable_by_everybody",
        ),
    ),
    Removal(
        "what an owner sends is counted outside the callers' transactions",
        (Edit(SENDERS, "    PERFORM nextval(counter) FROM generate_series(1, messages);\n", ""),),
        (
            f"{TESTS}/test_rates.py::test_what_is_rolled_back_counts",
            f"{TESTS}/test_rates.py::test_thirty_two_callers_keep_to_a_rate_and_nobody_waits",
        ),
    ),
    Removal(
        "the functions check what the API checks",
        (Edit("alembic/sql/0001_baseline/checks.sql", "IF is_nested_deeper(raw, levels) THEN", "IF false THEN"),),
        (
            f"{TESTS}/test_refusals.py::test_what_http_refuses_sql_refuses_and_both_store_the_same",
            (
                f"{CALLERS}/test_doors.py"
                "::test_what_http_accepts_sql_accepts_and_what_only_sql_accepts_ends_dead_with_the_same_words"
            ),
        ),
    ),
    Removal(
        "what only SQL accepts is checked before it is delivered",
        (Edit("pipeline/deliver/routing.py", "if not target.address and needs_address(target.channel):", "if False:"),),
        (
            (
                f"{CALLERS}/test_doors.py"
                "::test_what_http_accepts_sql_accepts_and_what_only_sql_accepts_ends_dead_with_the_same_words"
            ),
        ),
    ),
    Removal(
        "partitions reach 35 days ahead",
        (
            Edit("alembic/sql/0001_baseline/partitions.sql", "at + interval '35 days'", "at"),
            Edit(
                "alembic/sql/0001_baseline/partitions.sql",
                "SELECT outbox_make_partitions(interval '1 month', clock_timestamp());",
                "SELECT outbox_make_partitions(interval '1 day', clock_timestamp());",
            ),
        ),
        (
            "tests/outbox/scheduler/test_partitions.py::test_partitions_reach_35_days_ahead_and_leave_no_gap",
            (
                f"{CALLERS}/test_away.py"
                "::test_what_is_sent_while_nothing_runs_for_ten_days_commits_and_is_sent_after_the_start"
            ),
        ),
    ),
    Removal(
        "a migration that waits for a lock gives up and begins again",
        (Edit("alembic/env.py", 'LOCK_TIMEOUT = "50ms"', 'LOCK_TIMEOUT = "5s"'),),
        (
            (
                f"{CALLERS}/test_open_transaction.py"
                "::test_a_callers_transaction_that_stays_open_delays_nobody_and_is_named_by_what_waits_for_it"
            ),
            "tests/migrations/test_migrations.py::test_a_migration_waits_for_whom_it_names_and_keeps_nobody_waiting",
        ),
    ),
)
