"""At the door: what is refused before it costs anybody else."""

from tests.mechanisms.removal import Edit, Removal

LIMITS = "tests/api/test_limits.py"

REMOVALS = (
    Removal(
        "a request that ends early is not accepted",
        (Edit("api/bodies.py", 'if message["type"] == "http.disconnect":', "if False:"),),
        ("tests/api/test_bodies.py::test_a_body_whose_sender_leaves_before_its_end_is_refused_whatever_came",),
    ),
    Removal(
        "offsets that PostgreSQL refuses are refused with their field",
        (Edit("outbox/dates.py", "if abs(date.utcoffset() or timedelta()) >= OFFSETS:", "if False:"),),
        (
            "tests/api/test_targets.py::test_what_cannot_be_kept_is_refused_with_its_field",
            "tests/api/test_dead_letters.py::test_a_date_that_postgresql_would_refuse_is_refused_with_its_field",
        ),
    ),
    Removal(
        "a subject is checked when it is accepted and when it is edited",
        (Edit("outbox/addresses.py", "    if control := hidden_control(text):\n", "    if control := None:\n"),),
        (
            "tests/api/test_targets.py::test_what_cannot_be_kept_is_refused_with_its_field",
            "tests/api/test_dead_letters.py::test_an_edited_subject_is_held_to_what_a_first_one_is",
        ),
    ),
    Removal(
        "a header has a length",
        (
            Edit("api/protocol.py", "self._head_size() > self._limits.header_bytes", "False"),
            Edit("api/protocol.py", "and self._reading in {Reading.HEAD, Reading.BODY}:\n", "and False:\n"),
        ),
        (f"{LIMITS}::test_a_header_beyond_the_limit_is_refused", f"{LIMITS}::test_trailers_are_bounded_too"),
    ),
    Removal(
        "a request has a time",
        (Edit("api/door.py", "            guest.end_if_late(now, since)\n", "            pass\n"),),
        (
            f"{LIMITS}::test_a_header_that_does_not_come_in_time_is_refused",
            f"{LIMITS}::test_a_body_that_does_not_come_in_time_is_refused_and_not_accepted",
            f"{LIMITS}::test_a_connection_that_rests_is_closed",
        ),
    ),
    Removal(
        "whoever waited longest makes room",
        (Edit("api/door.py", "longest = next(iter(self.waiting), None)", "longest = None"),),
        (
            f"{LIMITS}::test_where_all_connections_are_taken_the_one_that_waited_longest_makes_room",
            f"{LIMITS}::test_one_that_had_begun_is_told_why_it_has_to_go",
        ),
    ),
    Removal(
        "connections leave files for everything else",
        (Edit("api/limits.py", "min(wanted, files - reserve)", "wanted"),),
        (f"{LIMITS}::test_fewer_connections_are_taken_where_fewer_files_may_be_open",),
    ),
    Removal(
        "bodies have a budget",
        (
            Edit(
                "api/budget.py",
                "        if others > 0 and self.held + count > self.size:\n",
                "        if others < 0:\n",
            ),
        ),
        (
            f"{LIMITS}::test_bodies_beyond_the_budget_are_refused_until_there_is_room_again",
            f"{LIMITS}::test_a_bulk_that_grows_beyond_the_budget_by_expansion_is_refused",
        ),
    ),
    Removal(
        "what a body held is given back",
        (Edit("api/protocol.py", 'self._door.budget.give_back(cycle.scope["state"].pop(HELD, 0))', "pass"),),
        (f"{LIMITS}::test_what_a_sender_that_left_had_sent_is_given_back",),
    ),
)
