"""Waiting for Kafka, for processes that go on: commands that only look begin sooner without what that imports."""

import threading

import structlog
from confluent_kafka import KafkaException

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, ask_anew
from herald.outbox.settings import LOCAL_KAFKA, Settings
from herald.outbox.startup import wait_until

_log = structlog.get_logger()


def wait_for_kafka(settings: Settings, stop: threading.Event) -> None:
    """Return once a broker answers, or once `stop` is set; retries with backoff, 5 s at most.

    Each time with a new client: one that met a broker in trouble may never connect again.
    """
    warn_if_not_configured(settings)
    wait_until(
        lambda: ask_anew(settings, lambda admin: admin.list_topics(timeout=ANSWER_TIMEOUT)),
        what=f"Kafka at {settings.kafka_bootstrap_servers}",
        on=KafkaException,
        stop=stop,
    )


def warn_if_not_configured(settings: Settings) -> None:
    """Say which broker is meant where nobody said it."""
    if "kafka_bootstrap_servers" not in settings.model_fields_set:
        _log.warning("kafka_not_configured", setting="KAFKA_BOOTSTRAP_SERVERS", using=LOCAL_KAFKA)
