"""Floods, and what stands in line."""

from tests.proof.mechanisms.removal import Edit, Removal

FAIRNESS, LINES = "outbox/relay/fairness.py", "outbox/scheduler/lines.py"
TESTS = "tests/outbox/relay/test_fairness.py"

REMOVALS = (
    Removal(
        "no more is published ahead of the pipeline than goes on",
        (Edit(FAIRNESS, "                if room[place] < 0:\n", "                if False:\n"),),
        (
            f"{TESTS}::test_of_a_key_with_many_so_many_are_published_and_the_rest_waits_in_line",
            f"{TESTS}::test_what_was_asked_for_among_many_waits_where_the_pipeline_is_behind",
        ),
    ),
    Removal(
        "each line has a share in turn",
        (Edit(LINES, "max(1, min(SHARE, room // len(able)))", "room"),),
        (f"{TESTS}::test_lines_have_their_turn_in_order_and_a_share_each",),
    ),
    Removal(
        "lines go on as the pipeline claims",
        (Edit(LINES, "        room = self._portion - self._unclaimed\n", "        room = self._portion\n"),),
        (f"{TESTS}::test_no_more_than_a_portion_waits_for_its_claim",),
    ),
    Removal(
        "what is put off for a busy destination stands in line",
        (Edit("outbox/scheduler/due.py", "w.line IS NULL AND {WAITS} AND {NOT_FAILING}", "{WAITS} AND {NOT_FAILING}"),),
        (f"{TESTS}::test_a_busy_destination_has_a_line_that_goes_on_as_it_takes_them",),
    ),
    Removal(
        "nothing is published past one of its key in line",
        (
            Edit(
                FAIRNESS,
                "dict.fromkeys(self._in_line(connection, [place for place in counts if place[1] is not None]), 0)",
                "{}",
            ),
        ),
        (f"{TESTS}::test_nothing_is_published_past_one_of_its_key_in_line",),
    ),
    Removal(
        "nobody in line has a turn before the relay's cursor has passed its place",
        (Edit(LINES, "o.stream_id = m.id AND o.topic IS NOT NULL", "false AND o.topic IS NOT NULL"),),
        (f"{TESTS}::test_what_the_relay_has_not_passed_has_no_turn",),
    ),
    Removal(
        "what comes behind one of its key in line stands in line",
        (Edit("outbox/moves/claim.py", "        WHEN behind.in_line = 'queued' THEN 'queued'\n", ""),),
        (f"{TESTS}::test_the_next_of_a_key_stands_in_line_behind_those_that_do",),
    ),
    Removal(
        "what has no destination yet may go to the same",
        (
            Edit(
                "outbox/moves/claim.py",
                "(p.destination IS NULL OR p.destination = f.destination)",
                "p.destination = f.destination",
            ),
        ),
        (f"{TESTS}::test_the_next_of_a_key_waits_for_one_that_left_the_line_and_has_no_destination_yet",),
    ),
)
