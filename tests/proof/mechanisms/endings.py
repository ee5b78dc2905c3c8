"""What a pipeline does before it ends, and what neither it nor a message ends for."""

from tests.proof.mechanisms.removal import Edit, Removal

ENDING = "tests/pipeline/work/test_ending.py"
TAKING = "tests/pipeline/work/test_taking.py"
NOT_SET_UP = "tests/pipeline/work/test_not_set_up.py"

REMOVALS = (
    Removal(
        "whatever ends the worker, calls under way are finished and recorded",
        (
            Edit(
                "pipeline/work/worker.py",
                "            self.fail(error)\n",
                "            self.fail(error)\n            return\n",
            ),
        ),
        (
            f"{ENDING}::test_a_dead_letter_that_is_not_acknowledged_ends_the_pipeline_after_its_calls",
            f"{ENDING}::test_outcomes_and_claims_in_hand_survive_an_error_that_nobody_foresaw",
        ),
    ),
    Removal(
        "outcomes that are not recorded stay in hand, and what was claimed is given back",
        (
            Edit(
                "pipeline/work/worker.py",
                "            self._outcomes.put_back(written.unrecorded)\n",
                "",
            ),
        ),
        (f"{ENDING}::test_outcomes_and_claims_in_hand_survive_an_error_that_nobody_foresaw",),
    ),
    Removal(
        "what reading asks is asked again",
        (Edit("pipeline/work/taking.py", "if now - self._failing_since >= self._patience:", "if True:"),),
        (
            f"{ENDING}::test_what_reading_asks_is_asked_again_and_outcomes_are_recorded_meanwhile",
            f"{TAKING}::test_what_cannot_be_read_is_read_after_a_rest_that_grows",
        ),
    ),
    Removal(
        "what a process is not set up for is no attempt",
        (Edit("pipeline/deliver/lack.py", "if isinstance(one, NotSetUpError):", "if False:"),),
        (f"{NOT_SET_UP}::test_what_one_pipeline_is_not_set_up_for_is_no_attempt_and_another_delivers_it",),
    ),
    Removal(
        "what is given back again and again is named",
        (Edit("outbox/operate/status/database.py", "attempts = uncounted AND uncounted > 1", "false"),),
        (f"{NOT_SET_UP}::test_what_is_given_back_again_and_again_is_named_by_status_and_doctor",),
    ),
    Removal(
        "a channel that only another producer names is waited for by nobody",
        (Edit("pipeline/work/claiming.py", "if error.channel is None and request.version is None:", "if False:"),),
        (f"{NOT_SET_UP}::test_a_channel_that_only_another_producer_names_is_waited_for_by_nobody",),
    ),
    Removal(
        "what was given back untried can be cancelled",
        (Edit("alembic/sql/0001_baseline/moves.sql", "found.attempts = found.uncounted AND", "false AND"),),
        ("tests/outbox/moves/test_cancel.py::test_what_was_given_back_untried_can_be_cancelled",),
    ),
)
