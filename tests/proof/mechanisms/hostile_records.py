"""Records that nobody foresaw, and those of another Herald."""

from tests.proof.mechanisms.removal import Edit, Removal

DECODING = "tests/pipeline/consume/test_decoding.py"
BLAME = "tests/pipeline/deliver/test_blame.py"
LEDGER = "tests/pipeline/work/test_ledger.py"
INTAKE = "tests/pipeline/consume/test_intake.py"
PROCESS = "tests/pipeline/test_process.py"
LETTERS = "tests/pipeline/consume/test_dead_letters.py"

REMOVALS = (
    Removal(
        "null headers are as good as absent, or undecodable",
        (
            Edit(
                "pipeline/consume/headers.py",
                "{name: value for name, value in arrival.headers or () if value is not None}",
                "dict(arrival.headers or ())",
            ),
            Edit("pipeline/consume/decoding.py", "if missing := nulls(arrival):", "if missing := []:"),
        ),
        (f"{PROCESS}::test_a_record_with_a_null_header_is_a_dead_letter_and_the_next_is_handled",),
    ),
    Removal(
        "what Quix cannot read is handed over as well",
        (Edit("pipeline/consume/application.py", "        if message is None:\n", "        if True:\n"),),
        (f"{PROCESS}::test_a_record_whose_headers_cannot_be_read_is_a_dead_letter_and_the_next_is_handled",),
    ),
    Removal(
        "an unforeseen error is the record's where a known good one decodes",
        (
            Edit(
                "pipeline/consume/intake.py",
                "            self._probe()\n            self._tell(arrival, error)\n",
                "            raise\n",
            ),
        ),
        (
            f"{INTAKE}::test_an_error_that_nobody_foresaw_is_the_records_own_and_is_told_with_its_traceback",
            "tests/pipeline/work/test_worker.py::test_a_record_that_nobody_can_decode_ends_alone",
        ),
    ),
    Removal(
        "and an outage where that does not either",
        (Edit("pipeline/consume/intake.py", "            self._probe()\n", ""),),
        (f"{INTAKE}::test_no_record_is_at_fault_where_a_good_one_cannot_be_decoded_either",),
    ),
    Removal(
        "a dead letter that Kafka refuses is sent alone, cut, then bare",
        (
            Edit(
                "pipeline/consume/dead_letters.py",
                "FORMS = (Form(None, is_alone=False), Form(None), Form(MOST_BYTES), Form(BARE_BYTES, is_bare=True))",
                "FORMS = (Form(None, is_alone=False), Form(MOST_BYTES, is_alone=False))",
            ),
        ),
        (
            f"{LETTERS}::test_a_dead_letter_whose_headers_are_too_large_has_its_origin_alone",
            f"{LETTERS}::test_a_dead_letter_that_kafka_refuses_in_every_form_stops_no_other",
        ),
    ),
    Removal(
        "whatever the error is, it is narrowed down",
        (
            Edit(
                "pipeline/work/ledger.py",
                "            if _passes(error):\n                raise\n            self",
                '            if getattr(error, "pgcode", "") != "54000":\n                raise\n            self',
            ),
        ),
        (
            f"{LEDGER}::test_an_error_of_postgresql_that_nobody_foresaw_is_the_foreign_records_that_causes_it",
            f"{LEDGER}::test_an_error_of_python_that_nobody_foresaw_ends_heralds_own_message_with_its_text",
            f"{LEDGER}::test_what_fails_three_times_alone_while_others_succeed_is_set_aside_whatever_the_error",
        ),
    ),
    Removal(
        "an outcome is recorded without its words",
        (
            Edit(
                "pipeline/work/ledger.py",
                "                self._record_plainly(connection, written, suspect.item, suspect.error)\n",
                "                pass\n",
            ),
        ),
        (f"{LEDGER}::test_an_outcome_whose_words_are_refused_is_recorded_without_them",),
    ),
    Removal(
        "a limit of convictions",
        (
            Edit(
                "pipeline/work/ledger.py",
                "if convicts_nobody(error) or not self._convictions.allows(error):",
                "if convicts_nobody(error):",
            ),
        ),
        (f"{LEDGER}::test_above_a_limit_in_a_minute_no_message_is_ended_by_the_same_error",),
    ),
    Removal(
        "a changed schema is waited for",
        (
            Edit(
                "pipeline/work/ledger.py",
                "                if not convicts_nobody(error):\n",
                '                if (error.pgcode or "").startswith("42"):\n',
            ),
        ),
        (f"{LEDGER}::test_a_changed_schema_refuses_no_record",),
    ),
    Removal(
        "what was won before an outage is kept",
        (Edit("pipeline/work/ledger.py", "        written.won |= won\n", "        written.won = won\n"),),
        (f"{LEDGER}::test_what_was_claimed_before_an_outage_is_not_forgotten",),
    ),
    Removal(
        "the database is asked whether it knows the message that a record names",
        (Edit("pipeline/consume/decoding.py", "self._ask(lambda: self._is_known(message))", "False"),),
        (
            f"{DECODING}::test_a_record_that_names_a_known_message_is_heralds_own_whatever_its_source",
            f"{DECODING}::test_a_record_that_names_a_known_message_and_no_request_is_never_adopted",
            "tests/pipeline/work/test_worker.py::test_a_record_of_a_known_message_under_another_source_is_claimed_once_and_never_adopted",
        ),
    ),
    Removal(
        "a known message is recognised in every header that may name one",
        (
            Edit(
                "pipeline/consume/headers.py",
                'if value is not None and name in {"ce_subject", "ce_id"}:',
                'if value is not None and name == "ce_subject":',
            ),
        ),
        (f"{DECODING}::test_a_record_that_names_a_known_message_in_any_header_is_never_adopted",),
    ),
    Removal(
        "records carry the instance of their Herald",
        (
            Edit(
                "pipeline/consume/decoding.py",
                "        if self._instance is None or instance is None:\n",
                "        if True:\n",
            ),
        ),
        (
            f"{DECODING}::test_a_record_of_another_instance_is_not_adopted",
            f"{DECODING}::test_a_record_of_this_instance_is_its_own_whatever_its_source",
        ),
    ),
    Removal(
        "what nobody foresaw is a message's fault only where others of its kind succeed",
        (
            Edit(
                "pipeline/deliver/attempting.py",
                "            if isinstance(error, FORESEEN):\n                return outcome\n",
                "            return outcome\n",
            ),
        ),
        (
            f"{BLAME}::test_a_handler_that_raises_for_everything_convicts_nobody_and_burns_no_attempt",
            f"{BLAME}::test_a_success_of_another_topic_speaks_for_nobody",
            f"{BLAME}::test_above_a_limit_in_a_minute_no_message_is_ended_by_the_same_error",
            "tests/pipeline/work/test_worker.py::test_a_draft_that_fails_for_everything_convicts_nobody_and_all_is_sent_once_it_is_mended",
        ),
    ),
    Removal(
        "and it is where they do",
        (
            Edit(
                "pipeline/deliver/blame.py",
                "        if not is_guilty:\n",
                "        is_guilty = False\n        if not is_guilty:\n",
            ),
        ),
        (f"{BLAME}::test_a_message_that_fails_while_others_of_its_kind_succeed_ends_after_its_attempts",),
    ),
    Removal(
        "what arrived is bounded by bytes",
        (
            Edit(
                "pipeline/consume/inbox.py",
                "            if not self._has_room(arrival):\n",
                "            if False:\n",
            ),
        ),
        ("tests/pipeline/consume/test_inbox.py::test_who_adds_more_than_fits_waits_until_something_is_taken",),
    ),
    Removal(
        "attempts under way are bounded by bytes, and the rest is put off",
        (Edit("pipeline/deliver/deliveries.py", "                self._size += attempt.size\n", ""),),
        (
            "tests/pipeline/deliver/test_threads.py::test_room_is_bounded_by_bytes_and_one_that_is_larger_passes_alone",
            "tests/pipeline/work/test_worker.py::test_what_finds_no_memory_is_put_off_once_a_flush_has_waited_and_holds_up_nobody",
        ),
    ),
    Removal(
        "a delivery thread that ends is told",
        (Edit("pipeline/deliver/threads.py", "            self.on_error(error)\n", ""),),
        ("tests/pipeline/deliver/test_threads.py::test_a_delivery_thread_that_ends_is_noticed",),
    ),
)
