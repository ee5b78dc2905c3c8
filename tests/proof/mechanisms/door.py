"""At the door: what is refused before it costs anybody else."""

from tests.proof.mechanisms.removal import Edit, Removal

LIMITS = "tests/api/http/test_limits.py"
SEVERAL = "tests/api/test_several.py"
SUPERVISOR = "tests/api/test_supervisor.py"
COMMITTER = "tests/outbox/acceptance/test_committer.py"

REMOVALS = (
    Removal(
        "a request that ends early is not accepted",
        (Edit("api/http/bodies.py", 'if message["type"] == "http.disconnect":', "if False:"),),
        ("tests/api/http/test_bodies.py::test_a_body_whose_sender_leaves_before_its_end_is_refused_whatever_came",),
    ),
    Removal(
        "offsets that PostgreSQL refuses are refused with their field",
        (Edit("outbox/message/dates.py", "if abs(date.utcoffset() or timedelta()) >= OFFSETS:", "if False:"),),
        (
            "tests/api/routes/test_targets.py::test_what_cannot_be_kept_is_refused_with_its_field",
            "tests/api/routes/test_dead_letters.py::test_a_date_that_postgresql_would_refuse_is_refused_with_its_field",
        ),
    ),
    Removal(
        "a subject is checked when it is accepted, adopted and edited",
        (
            Edit(
                "outbox/destination/check.py", "    if control := hidden_control(text):\n", "    if control := None:\n"
            ),
        ),
        (
            "tests/api/routes/test_targets.py::test_what_cannot_be_kept_is_refused_with_its_field",
            "tests/api/routes/test_dead_letters.py::test_an_edited_subject_is_held_to_what_a_first_one_is",
            (
                "tests/pipeline/consume/test_decoding.py"
                "::test_a_foreign_notification_with_a_subject_that_no_mail_can_have_is_not_adopted"
            ),
        ),
    ),
    Removal(
        "what fails while a request is read is told apart from what is wrong with it",
        (Edit("api/http/refusals.py", "    if is_ours and cause is not None", "    if False and cause is not None"),),
        (f"{LIMITS}::test_what_cannot_be_read_for_lack_of_memory_is_not_its_clients_fault",),
    ),
    Removal(
        "a header has a length",
        (
            Edit("api/http/protocol.py", "self._head_size() > self._settings.max_header", "False"),
            Edit("api/http/protocol.py", "and self._reading in {HEAD, BODY}:\n", "and False:\n"),
        ),
        (f"{LIMITS}::test_a_header_beyond_the_limit_is_refused", f"{LIMITS}::test_trailers_are_bounded_too"),
    ),
    Removal(
        "a request has a time",
        (Edit("api/http/door.py", "                guest.end_if_late(now, since)\n", "                pass\n"),),
        (
            f"{LIMITS}::test_a_header_that_does_not_come_in_time_is_refused",
            f"{LIMITS}::test_a_body_that_does_not_come_in_time_is_refused_and_not_accepted",
            f"{LIMITS}::test_a_connection_that_rests_is_closed",
        ),
    ),
    Removal(
        "whoever waited longest makes room",
        (Edit("api/http/door.py", "longest = next(iter(self.waiting), None)", "longest = None"),),
        (
            f"{LIMITS}::test_where_all_connections_are_taken_the_one_that_waited_longest_makes_room",
            f"{LIMITS}::test_one_that_had_begun_is_told_why_it_has_to_go",
        ),
    ),
    Removal(
        "connections leave files for everything else",
        (Edit("api/http/door.py", "min(wanted, files - reserve)", "wanted"),),
        (f"{LIMITS}::test_fewer_connections_are_taken_where_fewer_files_may_be_open",),
    ),
    Removal(
        "a resting connection has a second for a last request",
        (
            Edit(
                "api/http/guest.py",
                "            self.loop.call_later(LAST_REQUEST, self._close_if_resting)\n",
                "            self.transport.close()\n",
            ),
        ),
        ("tests/api/test_process.py::test_a_request_on_its_way_when_it_stops_is_answered_and_is_the_last",),
    ),
    Removal(
        "a process listens before the one that it replaces stops",
        (Edit("api/supervisor.py", "        elif successor.is_ready:\n", "        else:\n"),),
        (f"{SEVERAL}::test_nobody_is_refused_or_cut_off_while_processes_are_replaced_one_by_one",),
    ),
    Removal(
        "a process of the API that is killed is replaced",
        (Edit("api/supervisor.py", "and place.due_at <= now:", "and not self._has_started:"),),
        (f"{SEVERAL}::test_one_that_is_killed_is_replaced_while_the_other_serves",),
    ),
    Removal(
        "who has more than the mean leaves what comes to the others",
        (Edit("api/accepting.py", "connections.own * processes > connections.all", "False"),),
        (
            "tests/api/test_accepting.py::test_who_has_more_than_the_mean_leaves_what_comes_to_the_others",
            f"{SUPERVISOR}::test_a_connection_waits_for_a_process_that_has_fewer",
        ),
    ),
    Removal(
        "what the others leave is taken after a moment",
        (Edit("api/accepting.py", "self._come_back(MOMENT, self._take_what_is_left)", "pass"),),
        ("tests/api/test_accepting.py::test_what_the_others_leave_is_taken_after_a_moment",),
    ),
    Removal(
        "the line ends with the supervisor",
        (Edit("api/seat.py", "        os.kill(os.getpid(), signal.SIGTERM)\n", "        pass\n"),),
        (f"{SEVERAL}::test_a_killed_supervisor_leaves_nobody_who_serves_on",),
    ),
    Removal(
        "connections are counted over all processes of the port",
        (Edit("api/http/door.py", "self._total.all - self.settings", "self._total.own - self.settings"),),
        (f"{SEVERAL}::test_connections_are_counted_over_all_processes",),
    ),
    Removal(
        "what a killed process had counted is cleared",
        (Edit("api/seat.py", "        self._totals.clear()\n", ""),),
        (f"{SEVERAL}::test_connections_are_counted_over_all_processes",),
    ),
    Removal(
        "bodies are counted over all processes of the port",
        (Edit("api/http/resources.py", "return self._total.all", "return self._total.own"),),
        ("tests/api/http/test_totals.py::test_bodies_of_one_process_leave_the_others_less_room",),
    ),
    Removal(
        "bodies have a budget",
        (
            Edit(
                "api/http/resources.py",
                "        if held > own and held + count > self.size:\n",
                "        if held < own:\n",
            ),
        ),
        (
            f"{LIMITS}::test_bodies_beyond_the_budget_are_refused_until_there_is_room_again",
            f"{LIMITS}::test_a_bulk_that_grows_beyond_the_budget_by_expansion_is_refused",
        ),
    ),
    Removal(
        "what a body held is given back",
        (Edit("api/http/resources.py", "self.give_back(state.pop(HELD))", "pass"),),
        (f"{LIMITS}::test_what_a_sender_that_left_had_sent_is_given_back",),
    ),
    Removal(
        "a command that fails by an error nobody foresaw is refused alone",
        (
            Edit(
                "outbox/acceptance/committer.py",
                "answer([(one.item, self._judged(one.error)) for one in found.convicted])",
                "answer([(one.item, UnavailableError(reason(one.error))) for one in found.convicted])",
            ),
        ),
        (f"{COMMITTER}::test_an_error_that_nobody_foresaw_ends_the_command_at_fault_and_no_other",),
    ),
    Removal(
        "a command is refused only with a witness",
        (
            Edit(
                "outbox/acceptance/committer.py",
                "narrow(commands, act, self._writer.probe)",
                "narrow(commands, act, int)",
            ),
        ),
        (f"{COMMITTER}::test_an_error_that_everything_meets_convicts_nobody",),
    ),
    Removal(
        "more than 20 refused in a minute for one reason are no coincidence",
        (Edit("outbox/acceptance/committer.py", "if not self._convictions.allows(error):", "if False:"),),
        (f"{COMMITTER}::test_more_than_20_refused_in_a_minute_for_one_reason_are_no_coincidence",),
    ),
    Removal(
        "what may be committed already is not written again",
        (
            Edit(
                "outbox/postgres/conviction.py",
                "if isinstance(error, CommitUnknownError | NotReplicatedError):",
                "if False:",
            ),
        ),
        (f"{COMMITTER}::test_what_may_be_committed_already_is_not_written_again",),
    ),
    Removal(
        "a transaction of the committer has a size",
        (Edit("outbox/acceptance/committer.py", " or size >= MAX_BYTES", ""),),
        (f"{COMMITTER}::test_large_commands_are_written_a_few_at_a_time",),
    ),
    Removal(
        "readiness has a connection of its own",
        (
            Edit(
                "api/routes/health.py",
                "return missing if lacking is None else [*missing, lacking]",
                "return missing if lacking is None and not resources.engine.pool.checkedout() else [*missing, lacking]",
            ),
        ),
        ("tests/api/routes/test_health.py::test_it_is_ready_though_every_connection_of_the_pool_is_in_use",),
    ),
    Removal(
        "lists have a limit of their own",
        (Edit("api/http/resources.py", "max(1, min(self.settings.readers, self.settings.pool_size - 1))", "500"),),
        ("tests/api/routes/test_health.py::test_lists_have_a_limit_of_their_own_that_leaves_room_for_everything_else",),
    ),
    Removal(
        "a page of a list is bounded by bytes",
        (Edit("outbox/postgres/paging.py", " or size > PAGE_BYTES", ""),),
        ("tests/api/routes/test_dead_letters.py::test_a_page_is_bounded_by_bytes_as_well",),
    ),
    Removal(
        "OPTIONS names every method of a path",
        (Edit("api/app.py", ', "OPTIONS": _NO_METHOD}', "}"),),
        ("tests/api/http/test_addresses.py::test_options_names_every_method_of_a_path",),
    ),
    Removal(
        "the document has only channels that are set up",
        (Edit("api/shapes/schemas.py", "if not missing_settings(name, settings)]", "if name]"),),
        (
            "tests/api/http/test_documentation.py::test_schema_and_validator_refuse_alike",
            "tests/api/http/test_documentation.py::test_a_channel_that_is_not_set_up_is_not_described",
        ),
    ),
    Removal(
        "a status that is null is none",
        (
            Edit("api/http/parameters.py", "convert(given, shape)", "convert(given, shape, strict=False)"),
            Edit("api/http/parameters.py", "in _literals(shape).items():", "in ():"),
        ),
        ("tests/api/http/test_documentation.py::test_a_query_is_described_as_it_is_checked",),
    ),
)
