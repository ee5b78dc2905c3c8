"""Kafka that does not answer."""

from tests.mechanisms.removal import Edit, Removal

SILENCE = "tests/relay/test_silence.py"

REMOVALS = (
    Removal(
        "Kafka's silence has a deadline",
        (Edit("outbox/relay/publisher.py", "elif self.silent_for > self._patience:", "elif False:"),),
        (f"{SILENCE}::test_after_its_patience_a_leader_lets_another_lead_and_nothing_in_flight_is_lost",),
    ),
    Removal(
        "duties that need no Kafka do not wait for it",
        (Edit("outbox/relay/process.py", "    with running(schedulers):\n", "    with running(schedulers[1:]):\n"),),
        (f"{SILENCE}::test_what_needs_no_kafka_goes_on_without_it",),
    ),
    Removal(
        "a pipeline whose clients hear nothing ends",
        (
            Edit(
                "pipeline/connection.py",
                "        elif now - self._connected_at > self._patience:\n",
                "        elif False:\n",
            ),
            Edit(
                "outbox/asking.py", "        if silent_for > self._settings.kafka_patience and", "        if False and"
            ),
            Edit(
                "pipeline/application.py",
                "        broker_availability_timeout=settings.kafka_patience,\n",
                "        broker_availability_timeout=0,\n",
            ),
        ),
        ("tests/pipeline/test_process.py::test_a_pipeline_that_kafka_leaves_without_an_answer_ends_to_begin_anew",),
    ),
    Removal(
        "a process that hangs after SIGTERM is ended from outside the interpreter",
        (Edit("outbox/stopping.py", "            end_hard_in(leave_within)\n", "            pass\n"),),
        ("tests/outbox/test_stopping.py::test_a_process_that_hangs_is_ended_in_time",),
    ),
)
