"""Kafka that does not answer."""

from tests.proof.mechanisms.removal import Edit, Removal

SILENCE = "tests/outbox/relay/test_silence.py"

WITHHELD = "tests/outbox/relay/test_withheld.py"

APPLICATION = "tests/pipeline/consume/test_application.py"
THREADS = "tests/outbox/test_threads.py"
SILENT_PIPELINE = (
    "tests/pipeline/test_process.py::test_a_pipeline_that_kafka_leaves_without_an_answer_goes_on_with_new_clients"
)

REMOVALS = (
    Removal(
        "a partition without a leader is withheld",
        (Edit("outbox/relay/publisher.py", "            raise WithheldError(found)\n", "            pass\n"),),
        (f"{WITHHELD}::test_a_partition_without_a_leader_holds_up_its_own_keys_only_and_catches_up_in_order",),
    ),
    Removal(
        "what is withheld has a stored cursor of its own",
        (Edit("outbox/relay/withheld.py", "ON CONFLICT DO NOTHING\n", "LIMIT 0\n"),),
        (f"{WITHHELD}::test_a_relay_that_is_killed_while_a_partition_is_withheld_loses_nothing_of_it",),
    ),
    Removal(
        "the whole begins at the beginning of a difference",
        (
            Edit(
                "outbox/relay/withheld.py",
                "CASE WHEN count(*) OVER () = 1 THEN last_position ELSE 0 END AS last_position",
                "last_position",
            ),
        ),
        (f"{WITHHELD}::test_the_whole_begins_where_the_part_furthest_behind_has_read_nothing_of_its_difference",),
    ),
    Removal(
        "an unknown topic convicts nobody",
        (
            Edit(
                "outbox/relay/publisher.py",
                "elif row is not None and error.code() in REFUSED_FOR_GOOD:",
                "elif row is not None and error.code() in REFUSED_FOR_GOOD | NO_TOPIC_NOW:",
            ),
            Edit(
                "outbox/relay/trouble.py",
                "        if error.code() in REFUSED_FOR_GOOD:\n",
                "        if error.code() in REFUSED_FOR_GOOD | NO_TOPIC_NOW:\n",
            ),
            Edit("outbox/relay/withheld.py", '            found[Part(name, WHOLE, 0)] = "no such topic"\n', ""),
        ),
        (f"{WITHHELD}::test_a_topic_that_nobody_knows_yet_waits_and_is_published_once_it_is_there",),
    ),
    Removal(
        "Kafka's silence has a deadline",
        (Edit("outbox/relay/publisher.py", "if self.silent_for > self._patience:", "if False:"),),
        (f"{SILENCE}::test_after_its_patience_a_leader_lets_another_lead_and_nothing_in_flight_is_lost",),
    ),
    Removal(
        "duties that need no Kafka do not wait for it",
        (Edit("outbox/relay/process.py", "    with running(schedulers):\n", "    with running(schedulers[1:]):\n"),),
        (f"{SILENCE}::test_what_needs_no_kafka_goes_on_without_it",),
    ),
    Removal(
        "a pipeline whose clients hear nothing begins anew",
        (
            Edit(
                "pipeline/consume/connection.py",
                "        elif now - self._connected_at > self._patience:\n",
                "        elif False:\n",
            ),
            Edit(
                "outbox/kafka/asking.py",
                "        if silent_for > self._settings.kafka_patience and",
                "        if False and",
            ),
            Edit(
                "pipeline/consume/application.py",
                "            broker_availability_timeout=settings.kafka_patience,\n",
                "            broker_availability_timeout=0,\n",
            ),
        ),
        (SILENT_PIPELINE,),
    ),
    Removal(
        "a pipeline outlives an outage: its round is over, and not its process",
        (
            Edit(
                "pipeline/round.py",
                "        if not is_outage(error):\n",
                "        if True:\n",
            ),
        ),
        (SILENT_PIPELINE,),
    ),
    Removal(
        "what a round was to be ended by does not end the next one",
        (Edit("outbox/stopping.py", "    faulthandler.cancel_dump_traceback_later()\n", ""),),
        ("tests/outbox/test_stopping.py::test_an_end_that_was_called_off_does_not_come",),
    ),
    Removal(
        "who is told to stop while a round ends has a deadline as well",
        (Edit("outbox/stopping.py", "    if stop.is_set():\n        end_hard_in(leave_within)\n", ""),),
        ("tests/outbox/test_stopping.py::test_who_is_told_to_stop_is_ended_in_time_whatever_was_called_off",),
    ),
    Removal(
        "a round leaves no threads",
        (Edit("pipeline/deliver/deliveries.py", "        self._threads.close()\n", ""),),
        ("tests/pipeline/deliver/test_threads.py::test_no_thread_is_left_once_all_is_closed",),
    ),
    Removal(
        "a partition that acknowledges nothing is withheld",
        (Edit("outbox/relay/hearing.py", " or hearing.find_mute(pages[0], topics, known)\n", "\n"),),
        (
            "tests/proof/faults/test_leaderless.py::test_partitions_that_lack_a_replica_in_sync_hold_up_their_own_keys_only",
        ),
    ),
    Removal(
        "a row that the producer refuses is waited for nowhere",
        (Edit("outbox/relay/hearing.py", "for row in oldest.sent if row[4]", "for row in oldest.rows if row[4]"),),
        ("tests/outbox/relay/test_publisher.py::test_a_row_that_the_producer_refuses_makes_no_partition_mute",),
    ),
    Removal(
        "what is withheld moves only from where its mover began",
        (Edit("outbox/relay/withheld.py", "    if moved != 1:\n", "    if False:\n"),),
        (f"{WITHHELD}::test_of_two_relays_only_the_first_moves_what_is_withheld",),
    ),
    Removal(
        "a dead letter goes to a partition that has a leader",
        (Edit("pipeline/consume/dead_letters.py", " if self._led else ANYWHERE\n", " if False else ANYWHERE\n"),),
        ("tests/pipeline/consume/test_dead_letters.py::test_a_dead_letter_goes_to_a_partition_that_has_a_leader",),
    ),
    Removal(
        "what is withheld is left out of what was published",
        (
            Edit(
                "outbox/scheduler/pages.py",
                "        told = published_of(read_ends_told(admin, metadata, topics), published.withheld, widths)\n",
                "        told = read_ends_told(admin, metadata, topics)\n",
            ),
        ),
        (
            "tests/outbox/scheduler/test_lost.py::test_of_a_topic_of_which_a_partition_is_withheld_the_others_are_searched",
        ),
    ),
    Removal(
        "a pipeline outlives the broker that coordinates its group",
        (
            Edit(
                "pipeline/consume/commits.py",
                "            if error.code not in NO_MEMBER | NO_COORDINATOR:\n",
                "            if True:\n",
            ),
        ),
        (
            f"{APPLICATION}::test_a_commit_of_what_the_group_has_taken_away_is_dropped",
            f"{APPLICATION}::test_a_commit_without_a_coordinator_is_tried_again_unless_the_partitions_go",
        ),
    ),
    Removal(
        "what is not claimed of a lost partition is not claimed any more",
        (Edit("pipeline/consume/application.py", "        self._sink.drop(topic_partitions)\n", ""),),
        (f"{APPLICATION}::test_what_is_not_claimed_of_a_lost_partition_is_left_to_whoever_has_it_next",),
    ),
    Removal(
        "a process that hangs after SIGTERM is ended from outside the interpreter",
        (Edit("outbox/stopping.py", "            end_hard_in(leave_within)\n", "            pass\n"),),
        ("tests/outbox/test_stopping.py::test_a_process_that_hangs_is_ended_in_time",),
    ),
    Removal(
        "a signal ends no wait of the main thread for good",
        (
            Edit(
                "outbox/relay/term.py",
                "self._pages: queue.Queue[Page | None] = queue.Queue()",
                "self._pages: queue.SimpleQueue[Page | None] = queue.SimpleQueue()",
            ),
        ),
        (
            "tests/outbox/relay/test_term.py::test_a_signal_at_the_end_of_a_wait_for_a_page_makes_no_relay_wait_for_ever",
        ),
    ),
    Removal(
        "a pipeline that fails is ended from outside the interpreter if it hangs from then on",
        (Edit("pipeline/consume/application.py", "            self.on_failure()\n", "            pass\n"),),
        (f"{APPLICATION}::test_a_pipeline_that_fails_says_so_before_quix_closes_anything",),
    ),
    Removal(
        "a thread without memory for its first step is not waited for without end",
        (Edit("outbox/threads.py", "        self._started = _Begun()\n", ""),),
        (f"{THREADS}::test_a_thread_without_memory_for_its_first_step_is_not_waited_for_without_end",),
    ),
)
