"""From the log to Kafka."""

from tests.proof.mechanisms.removal import Edit, Removal

READER = "tests/outbox/relay/test_reader.py"
RELAY = "tests/outbox/relay/test_relay.py"
IN_PROGRESS = "AND transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(%(previous)s)))"
SINCE = "AND transaction_id >= pg_snapshot_xmax(%(previous)s)"

REMOVALS = (
    Removal(
        "records have the broker's date",
        (Edit("outbox/kafka/topics.py", ", config=CONFIG)", ")"),),
        ("tests/outbox/kafka/test_topics.py::test_a_relay_whose_clock_is_days_ahead_can_publish",),
    ),
    Removal(
        "a page is the difference between two snapshots",
        (Edit("outbox/relay/page_statements.py", IN_PROGRESS, "AND false"),),
        (
            f"{READER}::test_writers_that_overtake_each_other_lose_nothing",
            "tests/proof/end_to_end/test_order.py::test_writers_that_overtake_each_other_are_published_at_once_and_in_order",
        ),
    ),
    Removal(
        "a transaction that has not begun is not read",
        (
            Edit(
                "outbox/relay/page_statements.py",
                "      AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())\n",
                "",
            ),
        ),
        (f"{READER}::test_a_row_of_a_transaction_that_has_not_begun_is_not_read_again_and_again",),
    ),
    Removal(
        "a transaction under way is not read",
        (
            Edit(
                "outbox/relay/page_statements.py",
                "      AND pg_visible_in_snapshot(transaction_id, pg_current_snapshot())\n",
                "",
            ),
        ),
        (f"{READER}::test_a_row_with_the_id_of_a_transaction_under_way_is_not_read_again_and_again",),
    ),
    Removal(
        "nothing waits for xmin",
        (
            Edit(
                "outbox/relay/page_statements.py",
                SINCE,
                f"{SINCE} AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())",
            ),
        ),
        (f"{READER}::test_an_open_write_transaction_holds_nothing_up",),
    ),
    Removal(
        "the log is written in the caller's transaction",
        (
            Edit(
                "outbox/moves/accept.py",
                "    return Written(int(transaction_id), at)\n",
                "    connection.commit()\n    return Written(int(transaction_id), at)\n",
            ),
        ),
        (f"{READER}::test_a_rolled_back_event_is_never_read",),
    ),
    Removal(
        "the next term begins at the stored cursor",
        (
            Edit(
                "outbox/relay/process.py",
                "cursor = cursors.begin_term(session, stored, cluster_id=kafka.cluster_id)",
                "cursor = cursors.begin_term(session, stored, cluster_id=kafka.cluster_id)\n"
                '    now = cursors.fetch_one(session, "SELECT pg_current_snapshot()::text")[0]\n'
                "    cursor = cursors.replace(cursor, previous=now)",
            ),
        ),
        (f"{RELAY}::test_a_leader_that_lost_its_session_begins_again_at_the_stored_cursor",),
    ),
    Removal(
        "the cursor passes only what Kafka settled",
        (Edit("outbox/relay/publisher.py", "while self._pages and self._pages[0].open == 0:", "while self._pages:"),),
        (f"{RELAY}::test_a_relay_killed_while_kafka_is_away_publishes_again_what_kafka_never_took",),
    ),
    Removal(
        "an advisory lock lets one relay lead",
        (
            Edit("outbox/relay/session.py", "return try_lock(connection, LEADER)", "return True"),
            Edit("outbox/relay/process.py", "    sessions.check_alone(settings)\n", ""),
        ),
        (f"{RELAY}::test_a_standby_takes_over_from_a_killed_leader",),
    ),
    Removal(
        "a standby ends a leader that reads nothing",
        (Edit("outbox/relay/session.py", "SELECT pg_terminate_backend(pid) FROM", "SELECT false FROM"),),
        ("tests/outbox/relay/test_session.py::test_a_leader_that_reads_nothing_is_ended_by_a_standby",),
    ),
    Removal(
        "the cursor is saved by compare-and-swap on its epoch",
        (Edit("outbox/relay/cursor.py", "AND epoch = %(epoch)s", "AND %(epoch)s IS NOT NULL"),),
        (f"{READER}::test_a_cursor_that_somebody_else_moved_is_not_saved",),
    ),
    Removal(
        "pages are in the order of positions",
        (
            Edit(
                "outbox/relay/page_statements.py",
                "page AS MATERIALIZED (SELECT * FROM fresh ORDER BY position LIMIT %(size)s)",
                "page AS MATERIALIZED (SELECT * FROM fresh ORDER BY position DESC LIMIT %(size)s)",
            ),
            Edit(
                "outbox/relay/page_statements.py",
                ") AS events ON true\nORDER BY position\n",
                ") AS events ON true\nORDER BY position DESC\n",
            ),
        ),
        (f"{READER}::test_a_message_requested_after_another_was_answered_is_read_after_it",),
    ),
    Removal(
        "what is refused for good becomes an event, and the cursor passes",
        (
            Edit(
                "outbox/relay/publisher.py",
                "elif row is not None and error.code() in REFUSED_FOR_GOOD:",
                "elif False:",
            ),
        ),
        (f"{RELAY}::test_a_record_too_large_for_kafka_ends_dead_and_holds_nobody_up",),
    ),
    Removal(
        "the cursor stores the identity of its PostgreSQL cluster",
        (
            Edit(
                "outbox/relay/cursor.py",
                '    _check(cursor.system_identifier, system_identifier, "PostgreSQL cluster")\n',
                "",
            ),
        ),
        (f"{READER}::test_a_cursor_of_another_cluster_is_refused",),
    ),
    Removal(
        "the cursor stores the identity of its Kafka cluster",
        (Edit("outbox/relay/cursor.py", '    _check(cursor.cluster_id, cluster_id, "Kafka cluster")\n', ""),),
        (f"{RELAY}::test_a_cursor_of_another_kafka_ends_the_relay_until_it_is_rebased",),
    ),
)
