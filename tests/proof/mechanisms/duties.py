"""A duty of the scheduler that fails for one message's sake."""

from tests.proof.mechanisms.removal import Edit, Removal

AROUND = "tests/outbox/moves/test_around.py"
CODE = "outbox/moves/around.py"

REMOVALS = (
    Removal(
        "a duty's batch is halved",
        (Edit(CODE, "if not connection.autocommit or _passes(error):", "if connection:"),),
        (f"{AROUND}::test_one_message_for_whose_sake_a_duty_fails_ends_alone",),
    ),
    Removal(
        "what cannot be ended is left alone",
        (Edit(CODE, "self._clock() + LEFT_ALONE", "self._clock()"),),
        (f"{AROUND}::test_what_cannot_even_be_ended_is_left_alone_for_a_minute",),
    ),
    Removal(
        "an error that blames nobody counts three times",
        (Edit(CODE, "if failure.times >= TRIES:", "if failure.times > 0:"),),
        (f"{AROUND}::test_an_error_that_blames_nobody_ends_a_message_the_third_time_only",),
    ),
    Removal(
        "a job passes what cannot be requeued",
        (
            Edit(
                "outbox/desk/jobs.py",
                "count = _requeue_around(connection, ids, actor)",
                "count = len(requeue(connection, ids))",
            ),
        ),
        (f"{AROUND}::test_a_job_passes_a_dead_letter_that_cannot_be_requeued",),
    ),
    Removal(
        "a duty asks for a witness",
        (Edit(CODE, "        write_probe(connection)\n", "        pass\n"),),
        (f"{AROUND}::test_nobody_ends_where_nothing_can_be_written",),
    ),
    Removal(
        "a message alone is not ended by an error that blames nobody",
        (
            Edit(
                CODE,
                "        if found.excused and not any(found.done):\n            raise found.excused[0].error\n",
                "",
            ),
            Edit(CODE, '(error.pgcode or "").startswith(PASSES)', "error.pgcode is None"),
        ),
        (f"{AROUND}::test_a_message_alone_does_not_end_by_an_error_that_blames_nobody",),
    ),
    Removal(
        "no more than twenty a minute are ended by one kind of error",
        (Edit(CODE, "self._convictions.allows(suspect.error) and ", ""),),
        (f"{AROUND}::test_above_twenty_a_minute_no_more_are_ended",),
    ),
)
