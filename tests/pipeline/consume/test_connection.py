"""A consumer that finds no broker is given up in time."""

import json

from herald.pipeline.consume.connection import BrokerWatch, SilentKafkaError


def statistics(*states: str) -> str:
    brokers = {str(number): {"state": state, "nodeid": number} for number, state in enumerate(states)}
    return json.dumps({"name": "rdkafka#consumer-1", "brokers": brokers})


class Patient:
    """A connection with a clock of its own and a patience of 30 s."""

    def __init__(self) -> None:
        self.now = 0.0
        self.errors: list[SilentKafkaError] = []
        self.connection = BrokerWatch(30.0, self.errors.append, clock=lambda: self.now)

    def at(self, now: float, *states: str) -> None:
        self.now = now
        self.connection.note(statistics(*states))


def test_a_consumer_without_any_broker_is_given_up_when_the_patience_is_over() -> None:
    patient = Patient()
    patient.at(0, "UP", "UP")
    patient.at(29, "DOWN", "TRY_CONNECT")

    assert not patient.errors
    patient.at(31, "DOWN", "TRY_CONNECT")
    assert [str(error) for error in patient.errors] == ["the consumer has had no broker for 30 s"]


def test_one_broker_is_enough() -> None:
    patient = Patient()
    for now in range(0, 100, 10):
        patient.at(now, "DOWN", "UP")

    assert not patient.errors


def test_a_consumer_that_never_found_a_broker_is_given_up_too() -> None:
    patient = Patient()
    patient.at(5, "INIT")
    patient.at(36, "INIT")

    assert len(patient.errors) == 1
