"""What shows from outside."""

from tests.proof.mechanisms.removal import Edit, Removal

LIFE = "tests/outbox/watched/test_life.py"
LOOK = "tests/outbox/scheduler/test_look.py"
LOGS, LOGS_OF_ALL = "tests/outbox/test_logs.py", "tests/proof/end_to_end/test_logs.py"
REQUESTS = "tests/api/http/test_requests.py"
NOTING = "tests/pipeline/work/test_noting.py"
WATCHED = "tests/proof/end_to_end/test_watched.py"
HANGS = "tests/proof/probes/test_probes.py"
PROBES = "tests/proof/end_to_end/test_probes.py"

REMOVALS = (
    Removal(
        "what is not sent is counted by its queues where the table is large",
        (
            Edit(
                "outbox/operate/status/database.py",
                " AND (SELECT yes FROM is_small) GROUP BY status",
                " GROUP BY status",
            ),
        ),
        ("tests/outbox/operate/status/test_status.py::test_counts_of_a_large_table_are_those_of_its_queues",),
    ),
    Removal(
        "a traceback quotes no row and no statement",
        (Edit("outbox/logs.py", "text = text.replace(str(error), said)", "pass"),),
        (
            f"{LOGS}::test_of_an_error_of_postgresql_a_traceback_has_the_first_sentence",
            f"{LOGS_OF_ALL}::test_no_line_of_any_process_has_a_secret_at_whatever_level",
        ),
    ),
    Removal(
        "a supervisor's processes log as it does",
        (Edit("api/supervisor.py", "                worker.follow(level_asked())\n", ""),),
        (f"{LOGS_OF_ALL}::test_processes_of_one_api_log_as_their_supervisor_does_also_those_that_start_later",),
    ),
    Removal(
        "a signal changes the level",
        (Edit("outbox/logs.py", "    _root.setLevel(level.upper())\n", ""),),
        (f"{LOGS_OF_ALL}::test_a_signal_shows_everything_and_another_what_the_setting_says",),
    ),
    Removal(
        "a name that could be anything is no name of a request",
        (Edit("api/http/requests.py", "if given and _FITS(given) else", "if given else"),),
        (f"{REQUESTS}::test_what_is_no_name_is_replaced_by_one_of_ours_in_the_answer_and_in_the_line",),
    ),
    Removal(
        "how late the relay is counts from when it could see a row",
        (
            Edit(
                "outbox/scheduler/sight.py",
                "        WHERE NOT pg_visible_in_snapshot(first",
                "        WHERE false AND NOT pg_visible_in_snapshot(first",
            ),
        ),
        (f"{LOOK}::test_a_row_of_a_transaction_that_was_open_for_an_hour_is_not_an_hour_late",),
    ),
    Removal(
        "a question ends after so many entries of an index",
        (Edit("outbox/scheduler/look.py", "u.status = s.status LIMIT %(most)s)", "u.status = s.status)"),),
        (f"{LOOK}::test_no_question_counts_a_table",),
    ),
    Removal(
        "destinations that are told apart are few",
        (Edit("pipeline/deliver/noting.py", "if len(self._named) < MOST_NAMED:", "if MOST_NAMED:"),),
        (f"{NOTING}::test_destinations_are_told_where_that_is_asked_for_and_no_more_than_a_hundred_of_them",),
    ),
    Removal(
        "no key is named by the metrics",
        (Edit("api/http/refusals.py", "ACCESS_REFUSED.labels(reason)", "ACCESS_REFUSED.labels(detail)"),),
        ("tests/api/http/test_access.py::test_who_may_not_is_counted_by_the_reason_and_not_by_the_key",),
    ),
    Removal(
        "who does not come by is stuck",
        (Edit("outbox/watched/life.py", "if now - pulse.at > pulse.limit", "if not pulse"),),
        (
            f"{LIFE}::test_a_thread_that_does_not_come_by_is_stuck",
            f"{HANGS}::test_a_part_that_hangs_turns_live_red_until_it_goes_on_and_no_other_probe",
        ),
    ),
    Removal(
        "who waits for a server is not stuck",
        (Edit("outbox/watched/life.py", "or self._may_wait(ident, now) or", "or"),),
        (f"{LIFE}::test_a_thread_that_waits_for_a_server_is_not_stuck_however_long_that_takes",),
    ),
    Removal(
        "a wait for a server has an end",
        (Edit("outbox/watched/life.py", "now <= self._waiting.get(ident, -math.inf)", "ident in self._waiting"),),
        (f"{LIFE}::test_a_wait_that_lasts_longer_than_it_may_is_no_excuse",),
    ),
    Removal(
        "a call far beyond its time is named",
        (Edit("pipeline/deliver/destinations.py", "if now - began > self._policy", "if began < 0 > self._policy"),),
        ("tests/pipeline/deliver/test_destinations.py::test_a_call_far_beyond_its_time_is_overdue_until_it_ends",),
    ),
    Removal(
        "a process of several says that one of its threads is stuck",
        (Edit("api/seat.py", "(self._says_stuck or ", "("),),
        ("tests/api/test_supervisor.py::test_a_process_that_says_that_a_thread_is_stuck_is_red_at_once",),
    ),
    Removal(
        "an error that others see to is no end",
        (Edit("outbox/watched/life.py", "            if not may_fail:\n                self", "            self"),),
        (
            f"{LIFE}::test_an_error_that_others_see_to_is_no_end",
            f"{PROBES}::test_servers_that_are_away_make_ready_red_and_never_live",
        ),
    ),
    Removal(
        "what a process has counted is kept in a file of its seat",
        (Edit("outbox/watched/metrics.py", "if FOLDER in os.environ and SEAT in os.environ:", "if False:"),),
        ("tests/api/test_several.py::test_metrics_of_several_processes_are_one_answer_that_outlives_each",),
    ),
    Removal(
        "who is late is told by the statement",
        (Edit("outbox/moves/record.py", "WHERE type = 'message.late'", "WHERE false"),),
        (f"{NOTING}::test_an_outcome_that_is_late_is_logged_and_counted",),
    ),
    Removal(
        "what went wrong with a call has a line",
        (Edit("pipeline/deliver/noting.py", "if event := _FAILED.get(outcome.outcome):", "if event := None:"),),
        (
            f"{NOTING}::test_a_call_that_fails_is_logged_without_contents",
            f"{WATCHED}::test_a_request_and_a_call_that_fails_have_a_line_each_without_contents",
        ),
    ),
)
