"""Again: what is due, lost or given up by the clock."""

from tests.proof.mechanisms.removal import Edit, Removal

REQUESTS = "tests/outbox/moves/test_request_again.py"
BEHIND = "tests/outbox/scheduler/test_behind.py"
LOST = "tests/outbox/scheduler/test_lost.py"
TOPICS = "tests/proof/end_to_end/test_topics.py"
DUE = "tests/outbox/scheduler/test_due.py"
NOT_PAUSED = 'AND NOT {IS_PAUSED.format(message="w")}\n'

REMOVALS = (
    Removal(
        "the scheduler settles leases that ended",
        (
            Edit(
                "outbox/moves/settle.py",
                "WHERE l.until <= (SELECT clock_timestamp()) AND m.status",
                "WHERE l.until IS NULL AND m.status",
            ),
        ),
        (
            f"{REQUESTS}::test_an_attempt_whose_lease_ended_without_outcome_is_tried_again",
            (
                "tests/proof/end_to_end/test_processes.py"
                "::test_a_pipeline_killed_in_mid_delivery_is_followed_by_another_attempt_after_the_lease"
            ),
            (
                "tests/proof/end_to_end/test_killed_calls.py"
                "::test_what_a_killed_pipeline_had_in_hand_is_repeated_or_held_and_reported_as_unknown"
            ),
        ),
    ),
    Removal(
        "due_at is the end of the lease",
        (
            Edit(
                "outbox/moves/settle.py",
                "WHERE l.until <= (SELECT clock_timestamp()) AND m.status = 'sending' AND m.due_at <= "
                "(SELECT clock_timestamp())\n",
                "WHERE m.status = 'sending'\n",
            ),
            Edit("outbox/moves/settle.py", "AND m.due_at <= (SELECT at FROM clock)\n", "\n"),
        ),
        (f"{REQUESTS}::test_an_attempt_within_its_lease_is_left_alone",),
    ),
    Removal(
        "only what the consumer has passed counts as lost",
        (
            Edit(
                "outbox/scheduler/behind.py",
                "if number in read and read[number] >= min(end, ends[number])",
                "if number in read",
            ),
        ),
        (
            f"{BEHIND}::test_a_partition_is_passed_once_the_group_has_read_up_to_its_noted_end",
            "tests/proof/faults/test_outage.py::test_an_outage_of_the_pipeline_requests_next_to_nothing_twice",
        ),
    ),
    Removal(
        "topic ids are compared and what was pending is requested again; what that misses is found behind the consumer",
        (
            Edit(
                "outbox/scheduler/deleted.py",
                "again = sum(_request_topic(connection, name) for name in gone)",
                "again = 0",
            ),
            Edit(
                "outbox/scheduler/duties.py",
                '        Duty(settings.sweep_seconds, lost, name="lost"),\n',
                "",
            ),
        ),
        ("tests/outbox/relay/test_relay.py::test_a_deleted_topic_is_made_again_and_what_it_held_is_requested_again",),
    ),
    Removal(
        "what Kafka removed counts as read",
        (
            Edit(
                "outbox/scheduler/behind.py",
                "return begin if committed > end else max(committed, begin)",
                "return begin if committed > end else max(committed, 0 * begin)",
            ),
        ),
        (
            f"{LOST}::test_what_kafka_removed_unread_is_requested_again_once",
            f"{TOPICS}::test_what_kafka_removed_unread_is_delivered_without_any_new_traffic",
        ),
    ),
    Removal(
        "an offset beyond the end is of a log that was lost",
        (Edit("outbox/scheduler/behind.py", "return begin if committed > end else", "return"),),
        (f"{BEHIND}::test_what_was_committed_of_a_log_that_was_lost_says_nothing_of_the_new_one",),
    ),
    Removal(
        "what holds no record counts as read",
        (Edit("outbox/scheduler/gaps.py", "        self._look(still)\n", "        self._look({})\n"),),
        (f"{LOST}::test_control_records_and_aborted_data_at_the_end_count_as_read",),
    ),
    Removal(
        "each partition is judged for itself",
        (
            Edit(
                "outbox/scheduler/behind.py",
                "return place in self._passed and self._passed[place][1].shows(requested_in)",
                "return place in ()",
            ),
        ),
        (f"{LOST}::test_a_partition_without_a_leader_holds_up_nobody_elses_search",),
    ),
    Removal(
        "a key is looked for where it was when it was requested",
        (
            Edit(
                "outbox/scheduler/behind.py",
                "if key is None or width is None or width.may_be_elsewhere(requested_in):",
                "if key is None or width is None:",
            ),
        ),
        (f"{BEHIND}::test_what_was_requested_before_the_number_of_partitions_changed_is_judged_as_if_without_a_key",),
    ),
    Removal(
        "what waits on a topic without a consumer is named",
        (Edit("outbox/operate/status/database.py", "AND topic <> ALL (%(topics)s)", "AND topic = ANY (%(topics)s)"),),
        (
            "tests/outbox/operate/test_without_consumer.py::test_messages_without_a_consumer_are_named_by_status_doctor_and_audit",
        ),
    ),
    Removal(
        "only what is registered is searched, and counts as deleted",
        (
            Edit(
                "outbox/scheduler/behind.py",
                "        if topic in self._whole and self._whole[topic][1].shows(requested_in):\n",
                "        if any(snapshot.shows(requested_in) for _, snapshot in self._whole.values()):\n",
            ),
            Edit(
                "outbox/scheduler/deleted.py",
                "[name for name in names() if name in stored and",
                "[name for name in stored if",
            ),
        ),
        (
            f"{BEHIND}::test_what_is_on_a_topic_without_a_consumer_is_never_passed",
            f"{TOPICS}::test_the_messages_of_a_topic_that_was_taken_out_wait_and_are_delivered_once_it_is_back",
        ),
    ),
    Removal(
        "the scheduler follows a probe whose worker was killed",
        (
            Edit(
                "outbox/scheduler/due.py",
                "b.probe_at <= clock_timestamp() AND (b.probe_until IS NULL OR b.probe_until <= clock_timestamp())",
                "b.probe_at <= clock_timestamp() AND b.probe_until IS NULL",
            ),
        ),
        (f"{DUE}::test_a_probe_whose_worker_was_killed_is_followed_by_another",),
    ),
    Removal(
        "the scheduler releases twice as much every second",
        (
            Edit(
                "outbox/scheduler/due.py",
                "LIMIT least(%(limit)s, 1 - b.released + floor(%(ramp)s\n"
                "        * (2.0 ^ extract(epoch FROM clock_timestamp() - b.closed_at) - 1)))::bigint",
                "LIMIT %(limit)s + 0 * b.released + 0 * %(ramp)s::bigint",
            ),
        ),
        (f"{DUE}::test_what_waited_for_a_destination_that_recovers_returns_in_a_ramp",),
    ),
    Removal(
        "the scheduler looks at what is delayed on a strict topic",
        (
            Edit(
                "outbox/scheduler/due.py",
                "AND NOT (w.topic = ANY (%(strict_topics)s) AND w.request > 0",
                "AND NOT (w.topic = ANY (%(strict_topics)s) AND false",
            ),
        ),
        (f"{DUE}::test_on_a_strict_topic_the_first_of_a_key_is_requested_alone",),
    ),
    Removal(
        "nothing is requested before its date",
        (
            Edit(
                "outbox/scheduler/due.py",
                "w.due_at <= (SELECT clock_timestamp())\n",
                "w.due_at IS NOT NULL\n",
            ),
        ),
        (f"{DUE}::test_a_message_for_later_is_requested_at_its_date_and_not_before",),
    ),
    Removal(
        "the scheduler expires what passed its deliver_by",
        (
            Edit(
                "outbox/moves/expire.py",
                "WHERE u.deliver_by <= (SELECT clock_timestamp()) AND",
                "WHERE u.deliver_by IS NULL AND",
            ),
        ),
        (f"{DUE}::test_what_passed_its_last_date_expires_and_says_so",),
    ),
    Removal(
        "the scheduler leaves what is paused due",
        (Edit("outbox/scheduler/due.py", NOT_PAUSED, ""),),
        (f"{DUE}::test_what_is_paused_stays_due_until_it_is_resumed",),
    ),
)
