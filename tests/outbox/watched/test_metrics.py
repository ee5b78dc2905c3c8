"""What counts many at once counts as the library does each, and what nobody knows is not told."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from herald.outbox.watched.metrics import QUICK, Metrics


def test_many_observations_at_once_are_those_of_each() -> None:
    amounts = [0.0, 0.001, 0.0011, 0.3, 30.0, 31.0, 0.3]
    metrics, plain = Metrics(), CollectorRegistry()
    one_by_one = Histogram("herald_x_seconds", "X", registry=plain, buckets=QUICK)
    for amount in amounts:
        one_by_one.observe(amount)

    metrics.histogram("herald_x_seconds", "X").observe_all(amounts)

    assert counted(generate_latest(metrics.registry)) == counted(generate_latest(plain))


def test_a_gauge_that_nobody_knows_is_left_out_of_a_scrape() -> None:
    metrics = Metrics()
    lag = metrics.known("herald_lag_records", "Lag", "topic")
    lag.tell({("notifications",): 7})
    assert b'herald_lag_records{topic="notifications"} 7.0' in generate_latest(metrics.registry)

    metrics.forget()

    assert b"herald_lag_records" not in generate_latest(metrics.registry)


def counted(scrape: bytes) -> list[str]:
    return [line for line in scrape.decode().splitlines() if line.startswith("herald_x_seconds")]
