"""What the log is good for: it stays readable, the projection is made from it again, a topic is published again."""

from tests.proof.mechanisms.removal import Edit, Removal

UPCASTING = "tests/outbox/message/test_upcasting.py"
INTERRUPTED = "tests/outbox/operate/rebuild/test_interrupted.py"
CANCEL = "tests/outbox/moves/test_cancel.py"
KEPT = "tests/outbox/scheduler/test_kept_bytes.py"
WHOLE = "tests/proof/end_to_end/test_rebuild.py"

REMOVALS = (
    Removal(
        "a page that is replayed is bounded by bytes",
        (Edit("outbox/operate/replay/replaying.py", "WHERE total <= %(bytes)s OR total = bytes ORDER", "ORDER"),),
        ("tests/outbox/operate/replay/test_replay.py::test_a_page_is_bounded_by_bytes_as_well_as_rows",),
    ),
    Removal(
        "what no record can hold is not replayed",
        (Edit("outbox/operate/replay/replaying.py", "AND coalesce(size, 0) <= {LARGEST} AND NOT", "AND NOT"),),
        ("tests/outbox/operate/replay/test_replay.py::test_what_no_record_can_hold_is_not_read",),
    ),
    Removal(
        "what changed meanwhile is folded again",
        (Edit("outbox/operate/rebuild/swapping.py", "range(0, len(streams), STREAMS)", "range(0)"),),
        (
            f"{WHOLE}::test_a_rebuild_under_load_fails_no_request_and_equals_the_live_projection",
            "tests/outbox/operate/rebuild/test_swap.py::test_what_was_in_progress_or_began_later_is_caught_up",
        ),
    ),
    Removal(
        "a move puts a message into its queues and takes it out",
        (Edit("alembic/sql/0001_baseline/queues.sql", "DELETE FROM waiting WHERE id = ANY (waited)", "NULL"),),
        ("tests/outbox/moves/test_door.py::test_what_events_do_in_sql_is_what_they_do_in_python",),
    ),
    Removal(
        "queues are left by statements that see what was committed before the lock was had",
        (
            Edit(
                "outbox/moves/door.py",
                "left_queues AS MATERIALIZED (SELECT leave_queues({over}, {waited}, {sent}) FROM moved),",
                "over AS (DELETE FROM unfinished WHERE id = ANY (ARRAY(SELECT id FROM moved))), "
                "left_queues AS (DELETE FROM waiting WHERE id = ANY (ARRAY(SELECT id FROM moved))),",
            ),
            Edit("outbox/moves/door.py", 'left=", left_queues" if leaving else "",', 'left="",'),
        ),
        (f"{CANCEL}::test_who_waited_for_another_move_takes_the_message_out_of_the_queue_that_it_was_put_into",),
    ),
    Removal(
        "an audit compares the queues with the rows that they follow from",
        (Edit("outbox/operate/audit/order.py", "        check_queues(connection, scope),\n", ""),),
        ("tests/outbox/operate/audit/test_stored.py::test_a_message_in_a_wrong_queue_is_found_and_put_right",),
    ),
    Removal(
        "a rebuild puts the queues right",
        (
            Edit(
                "outbox/operate/rebuild/command.py",
                "done.queues = mend_queues(session, is_check=is_check)",
                "mend_queues(session, is_check=True)",
            ),
        ),
        ("tests/outbox/operate/rebuild/test_rebuild.py::test_what_stands_in_a_wrong_queue_is_told_and_put_right",),
    ),
    Removal(
        "both tables are compared before the swap",
        (Edit("outbox/operate/rebuild/rebuilding.py", "WHERE f.id IS NULL OR", "WHERE false AND"),),
        ("tests/outbox/operate/rebuild/test_rebuild.py::test_wrong_rows_are_told_and_repaired",),
    ),
    Removal(
        "a rebuild removes what an earlier one left",
        (
            Edit(
                "outbox/operate/rebuild/partitions.py",
                "for statement in statements:",
                "for statement in statements[:0]:",
            ),
        ),
        (f"{INTERRUPTED}::test_a_killed_rebuild_changes_nothing_and_the_next_one_removes_what_it_left",),
    ),
    Removal(
        "events of earlier schemas are upcast",
        (
            Edit(
                "outbox/message/upcasting.py",
                "fields = UPCASTERS[event_type, step](fields)",
                "UPCASTERS[event_type, step]",
            ),
        ),
        (f"{UPCASTING}::test_an_event_of_the_first_schema_passes_every_step",),
    ),
    Removal(
        "a stored event is its fields and the data that it brought",
        (Edit("outbox/postgres/log.py", "    if stored.data is not None:\n", "    if not stored:\n"),),
        ("tests/outbox/message/test_literals.py::test_a_stored_event_means_today_what_it_meant_then",),
    ),
    Removal(
        "no function touches what was accepted",
        (Edit("alembic/sql/0001_baseline/moves.sql", "data json, deliver_at", "data jsonb, deliver_at"),),
        (f"{KEPT}::test_what_was_accepted_is_published_and_shown_byte_for_byte",),
    ),
    Removal(
        "a request that is repeated names the event that has its data",
        (
            Edit(
                "alembic/sql/0001_baseline/decide.sql", "data_version = m.version + 1", "data_version = m.data_version"
            ),
        ),
        (f"{KEPT}::test_what_was_accepted_is_published_and_shown_byte_for_byte",),
    ),
    Removal(
        "every process looks for events that it cannot read",
        (Edit("outbox/startup.py", "if (event_type, schema) not in known_schemas():", "if not known_schemas():"),),
        (f"{UPCASTING}::test_no_process_starts_on_a_log_that_it_cannot_read",),
    ),
    Removal(
        "a record whose request is settled starts nothing",
        (
            Edit(
                "outbox/moves/claim.py",
                "WHERE id = ANY (ARRAY(SELECT id FROM record)) AND status = 'pending'",
                "WHERE id = ANY (ARRAY(SELECT id FROM record))",
            ),
            Edit(
                "outbox/moves/door.py",
                "    status=\"'sending'\",\n",
                '    status="\'sending\'",\n    sent_at="NULL",\n',
            ),
        ),
        (f"{WHOLE}::test_what_is_replayed_is_delivered_to_nobody_again",),
    ),
    Removal(
        "a replay keeps the order of the log",
        (
            Edit(
                "outbox/operate/replay/replaying.py",
                "publish(Page(rows, _NOWHERE))",
                "publish(Page(rows[::-1], _NOWHERE))",
            ),
        ),
        ("tests/outbox/operate/replay/test_replay.py::test_records_are_the_same_again_in_the_same_order",),
    ),
)
