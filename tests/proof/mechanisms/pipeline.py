"""From Kafka to a call."""

from tests.proof.mechanisms.removal import Edit, Removal

WORKER = "tests/pipeline/work/test_worker.py"
DESTINATIONS = "tests/pipeline/deliver/test_destinations.py"
LOOP = "tests/pipeline/deliver/test_loop.py"
RETRY = "tests/pipeline/deliver/test_retry.py"
LACK = "tests/pipeline/deliver/test_lack.py"
LEASES = "tests/outbox/moves/test_settle.py"

REMOVALS = (
    Removal(
        "one key is delivered one after the other",
        (Edit("pipeline/deliver/lanes.py", "        if lane.is_busy:\n", "        if False:\n"),),
        (
            "tests/pipeline/deliver/test_threads.py::test_a_key_with_an_attempt_under_way_holds_its_next_message_and_no_other",
        ),
    ),
    Removal(
        "a flush waits for claims",
        (Edit("pipeline/consume/inbox.py", "lambda: self._settled >= target", "lambda: True"),),
        (f"{WORKER}::test_a_flush_waits_until_everything_is_claimed_and_no_longer",),
    ),
    Removal(
        "a flush waits for dead letters",
        (
            Edit(
                "pipeline/work/worker.py",
                "        if letters:\n            self._send_letters(letters)\n",
                "        self.inbox.settle(taken.arrivals)\n"
                "        if letters:\n            self._send_letters(letters)\n",
            ),
            Edit("pipeline/work/worker.py", "taken)\n        self.inbox.settle(taken.arrivals)\n", "taken)\n"),
        ),
        (f"{WORKER}::test_what_does_not_decode_is_dead_lettered_before_the_flush_returns",),
    ),
    Removal(
        "an attempt has a deadline",
        (
            Edit(
                "pipeline/deliver/attempting.py",
                "        if self._clock() > attempt.deadline:\n"
                '            return postponed(attempt, OUT_OF_TIME, "out_of_time", wait=1.0)\n',
                "",
            ),
        ),
        ("tests/pipeline/deliver/test_threads.py::test_no_call_begins_when_the_lease_is_nearly_over",),
    ),
    Removal(
        "a transaction of the pipeline is halved until the bad record stands alone",
        (
            Edit(
                "pipeline/work/ledger.py",
                "            if _passes(error):\n                raise\n            self",
                "            raise\n            self",
            ),
        ),
        ("tests/pipeline/work/test_ledger.py::test_one_record_that_postgresql_refuses_stands_alone_in_the_end",),
    ),
    Removal(
        "it compares topic ids, and begins anew, with a new consumer",
        (
            Edit(
                "pipeline/round.py",
                "TopicWatch(lambda: asking.ask(read_topic_ids), worker.fail)",
                "TopicWatch(dict, worker.fail)",
            ),
        ),
        (
            "tests/pipeline/test_process.py::test_it_does_not_wait_for_ever_at_a_broker_that_was_wiped_behind_its_back",
            "tests/pipeline/test_process.py::test_it_reads_on_when_a_topic_was_made_anew",
        ),
    ),
    Removal(
        "the database says how far ids may reach",
        (
            Edit(
                "pipeline/consume/decoding.py",
                "            self._latest_date = self._ask(self._read_latest_date)\n",
                "            self._latest_date = int(1000 * self._contents._clock()) + 86_400_000\n",
            ),
        ),
        (
            "tests/pipeline/consume/test_decoding.py::test_a_machine_that_is_years_behind_knows_heralds_own_records",
            "tests/proof/faults/test_clock_faults.py::test_a_relay_and_a_pipeline_with_another_date_lose_nothing",
        ),
    ),
    Removal(
        "the id of an adopted message is made from the record's identity",
        (
            Edit(
                "pipeline/consume/identity.py",
                "digest = int.from_bytes(_digest(identity)[:10])",
                "digest = int.from_bytes(__import__('os').urandom(10))",
            ),
        ),
        ("tests/pipeline/consume/test_decoding.py::test_a_redelivered_foreign_record_has_the_same_id",),
    ),
    Removal(
        "the topic's id belongs to the record's identity",
        (
            Edit(
                "pipeline/consume/decoding.py",
                "topic = self._ask(lambda: self._topic_ids.find(arrival.topic))",
                "topic = arrival.topic",
            ),
        ),
        ("tests/pipeline/consume/test_decoding.py::test_the_same_place_on_a_recreated_topic_is_another_record",),
    ),
    Removal(
        "own records of unknown messages are appended under their own ids",
        (
            Edit(
                "pipeline/work/transaction.py",
                "missing = unknown(connection, [one.id for one in losers]) if losers else set()",
                "missing = set()",
            ),
        ),
        ("tests/pipeline/work/test_ledger.py::test_a_record_whose_message_the_database_lost_is_recovered_and_claimed",),
    ),
    Removal(
        "records are claimed as they come, not when the window ends",
        (
            Edit(
                "pipeline/work/taking.py",
                "if not len(self._inbox) or self.rest:",
                "if not self._inbox.flushing_for or self.rest:",
            ),
        ),
        ("tests/pipeline/test_process.py::test_a_lone_message_on_an_idle_system_does_not_wait_for_the_window",),
    ),
    Removal(
        "a queue, a limit and its turn for each destination",
        (
            Edit(
                "pipeline/deliver/destinations.py",
                "        if not channel.has_room:\n",
                "        if False:\n",
            ),
            Edit(
                "pipeline/deliver/destinations.py",
                "if queue.ready and not queue.is_in_turn and queue.active < queue.limit:",
                "if queue.ready and not queue.is_in_turn:",
            ),
        ),
        (f"{DESTINATIONS}::test_a_destination_has_its_limit_and_the_others_their_turn",),
    ),
    Removal(
        "what was claimed before a destination failed is given back untried",
        (
            Edit(
                "pipeline/deliver/attempting.py",
                "        if not attempt.is_probe and self._health.is_barred(attempt.counted, attempt.generation):\n"
                '            return postponed(attempt, REASONS["breaker_open"], "breaker_open", wait=0.0)\n',
                "",
            ),
        ),
        (f"{DESTINATIONS}::test_what_was_claimed_before_a_destination_failed_is_given_back_untried",),
    ),
    Removal(
        "a strict lane breaks",
        (
            Edit(
                "pipeline/deliver/lanes.py",
                'outcome.outcome == "postponed" or (is_strict and outcome.outcome not in {"sent", "dead"}):',
                'outcome.outcome == "postponed":',
            ),
        ),
        (f"{DESTINATIONS}::test_a_strict_lane_gives_back_what_waits_behind_a_failure",),
    ),
    Removal(
        "where all threads are busy, the rest stays in Kafka",
        (
            Edit(
                "pipeline/deliver/deliveries.py",
                "            if crew.is_busy:\n",
                "            if False:\n",
            ),
        ),
        ("tests/pipeline/deliver/test_threads.py::test_what_all_threads_could_not_begin_soon_is_left_in_kafka",),
    ),
    Removal(
        "calls of coroutines are bounded",
        (Edit("pipeline/deliver/loop.py", "            while not self._is_full and (", "            while ("),),
        (f"{LOOP}::test_no_more_calls_are_open_than_the_setting_says_and_the_rest_is_left_in_kafka",),
    ),
    Removal(
        "what blocks the loop is named",
        (Edit("pipeline/deliver/loop.py", "            self._tell(asyncio.current_task(loop))\n", ""),),
        (f"{LOOP}::test_a_handler_that_blocks_the_loop_is_named_and_holds_up_neither_threads_nor_claims",),
    ),
    Removal(
        "a failed call lets go of its message",
        (Edit("pipeline/deliver/causes.py", "        one.__traceback__ = None\n", "        pass\n"),),
        (
            "tests/pipeline/deliver/test_causes.py::test_a_failed_call_holds_nothing_though_its_frame_has_its_error",
            "tests/pipeline/channels/webhook/test_answers.py::test_a_connection_that_breaks_while_it_is_written_to_leaves_nothing_of_the_message_to_the_collector",
        ),
    ),
    Removal(
        "a coroutine is cancelled when its time is over",
        (Edit("pipeline/deliver/routing.py", "asyncio.timeout(delivery.timeout + GRACE)", "asyncio.timeout(60.0)"),),
        (f"{LOOP}::test_a_coroutine_that_does_not_end_is_cancelled_and_its_outcome_unknown",),
    ),
    Removal(
        "a quarter of a channel's calls is kept from destinations that are slow",
        (
            Edit(
                "pipeline/deliver/queues.py",
                "return self.has_room and len(self.slow) < self.most_slow",
                "return self.has_room",
            ),
        ),
        (
            f"{DESTINATIONS}::test_silent_destinations_leave_a_quarter_of_a_channels_calls_to_those_that_answer",
            f"{DESTINATIONS}::test_a_destination_that_falls_silent_is_slow_once_its_calls_take_long_and_not_after_a_quick_answer",
        ),
    ),
    Removal(
        "slow destinations leave room for what else is to be claimed",
        (
            Edit(
                "pipeline/deliver/destinations.py", "        if queue.open and queue.is_slow(now):", "        if False:"
            ),
        ),
        (f"{DESTINATIONS}::test_a_thousand_silent_destinations_leave_room_for_what_else_is_claimed",),
    ),
    Removal(
        "what is claimed together is delivered as it was accepted",
        (Edit("pipeline/work/claiming.py", "    for message in won:\n", "    for message in winners:\n"),),
        (f"{WORKER}::test_messages_of_one_key_that_are_claimed_together_are_delivered_as_they_were_accepted",),
    ),
    Removal(
        "a partition is handed over once what was claimed of it has begun",
        (Edit("pipeline/work/worker.py", "HAND_OVER = 1.0 ", "HAND_OVER = 0.0 "),),
        (f"{WORKER}::test_a_partition_is_handed_over_once_what_is_claimed_of_it_has_begun",),
    ),
    Removal(
        "what is given back takes what waits behind it along",
        (Edit("pipeline/deliver/lanes.py", 'outcome.outcome == "postponed" or (is_strict', "(is_strict"),),
        (f"{DESTINATIONS}::test_any_lane_gives_back_what_waits_behind_one_that_was_given_back",),
    ),
    Removal(
        "a permanent error is the end",
        (
            Edit(
                "pipeline/deliver/retry.py",
                "        if isinstance(error, PermanentError):\n"
                "            return dead(attempt, reason_of(error), error.code)\n",
                "",
            ),
        ),
        (f"{RETRY}::test_a_permanent_error_is_the_end",),
    ),
    Removal(
        "attempts that count are counted",
        (Edit("pipeline/deliver/retry.py", "        if tries >= most:\n", "        if False:\n"),),
        (f"{RETRY}::test_the_last_attempt_is_the_end",),
    ),
    Removal(
        "waits double, and half of each is certain",
        (
            Edit(
                "outbox/destination/retries.py",
                "        return longest / 2, longest\n",
                "        return 0.0, longest\n",
            ),
        ),
        (
            f"{RETRY}::test_half_of_the_wait_is_certain",
            "tests/docs/test_retries.py::test_grey_listing_of_five_minutes_and_an_outage_of_an_hour_are_outlasted",
        ),
    ),
    Removal(
        "what this machine lacks is no attempt",
        (
            Edit(
                "pipeline/deliver/retry.py",
                "        if lack is not None and not is_unknown",
                "        if False and not is_unknown",
            ),
        ),
        (
            f"{LACK}::test_a_lack_of_this_machine_is_given_back_and_blames_nobody",
            f"{LACK}::test_an_error_that_hides_its_cause_is_a_lack_where_nothing_can_be_opened",
            f"{LACK}::test_a_webhook_without_descriptors_is_given_back",
            (
                "tests/proof/end_to_end/test_descriptors.py"
                "::test_without_a_descriptor_left_no_attempt_is_burned_and_all_is_sent_once_there_are_some"
            ),
        ),
    ),
    Removal(
        "who was ready and was killed starts again at once",
        (Edit("outbox/restarts.py", "        if was_ready and was_killed:\n", "        if False:\n"),),
        ("tests/outbox/up/test_supervisor.py::test_who_was_ready_for_ten_seconds_and_is_killed_starts_again_at_once",),
    ),
    Removal(
        "strict topics have retries of their own",
        (Edit("outbox/destination/policies.py", "is_strict = topic in settings.strict_topics", "is_strict = False"),),
        (
            "tests/docs/test_retries.py::test_a_strict_topic_is_held_up_for_two_hours_and_a_few_minutes_at_most",
            f"{LEASES}::test_on_a_strict_topic_a_lease_ends_by_the_schedule_of_strict_topics",
        ),
    ),
    Removal(
        "unknown outcomes of a mail are counted: it is repeated once",
        (
            Edit(
                "outbox/destination/policies.py",
                "return unknowns > 0 or tries >= self.retries.attempts",
                "return False",
            ),
            Edit("outbox/moves/settle.py", "WHEN 'once' THEN m.unknowns > 0 OR", "WHEN 'once' THEN false AND"),
        ),
        (
            f"{RETRY}::test_an_unknown_outcome_is_repeated_once_where_the_channel_says_so",
            f"{LEASES}::test_a_mail_whose_lease_ends_is_tried_once_more_and_held_then",
            f"{LEASES}::test_an_unknown_outcome_that_the_pipeline_saw_counts_when_a_lease_ends",
        ),
    ),
    Removal(
        "attempts are many: a day's",
        (Edit("outbox/destination/policies.py", "own.max_attempts or attempts)", "own.max_attempts or 8)"),),
        (
            "tests/proof/end_to_end/test_patience.py::test_a_mail_that_is_refused_for_now_is_sent_once_it_is_taken",
            "tests/docs/test_retries.py::test_grey_listing_of_five_minutes_and_an_outage_of_an_hour_are_outlasted",
        ),
    ),
    Removal(
        "attempts that do not count are not",
        (
            Edit(
                "pipeline/deliver/retry.py",
                "attempt.number - attempt.uncounted, self._policy",
                "attempt.number, self._policy",
            ),
        ),
        (f"{RETRY}::test_attempts_that_do_not_count_are_not_counted",),
    ),
)
