"""What compose.yaml promises on paper."""

import json

import jsonschema
import pytest

from tests.compose.compose_file import SCHEMA, compose, ours, services

LONG_RUNNING = [name for name, service in services().items() if service.get("restart") != "no"]
OURS_LONG_RUNNING = ["api", "relay", "pipeline"]


def test_compose_file_obeys_the_compose_specification() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    jsonschema.Draft7Validator(schema).validate(compose())


def test_compose_file_runs_every_process() -> None:
    assert {name: service["command"] for name, service in ours().items()} == {
        "migrate": ["migrate"],
        "api": ["api"],
        "relay": ["relay"],
        "pipeline": ["pipeline"],
    }


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_service_that_ends_is_started_again(name: str) -> None:
    assert services()[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["postgres", "kafka", *OURS_LONG_RUNNING])
def test_a_service_says_whether_it_is_well_and_may_end_in_peace(name: str) -> None:
    service = services()[name]

    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["stop_grace_period"]


def test_the_pipeline_may_finish_its_deliveries() -> None:
    delivery_timeout = 30  # seconds, the default of HERALD_DELIVERY_TIMEOUT

    assert int(ours()["pipeline"]["stop_grace_period"].removesuffix("s")) > delivery_timeout


@pytest.mark.parametrize("name", OURS_LONG_RUNNING)
def test_a_process_waits_for_kafka_and_the_migration(name: str) -> None:
    assert ours()[name]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "kafka": {"condition": "service_healthy"},
    }


def test_what_others_wait_for_can_be_reached() -> None:
    waits = [
        (services()[name], wait["condition"])
        for service in services().values()
        for name, wait in service.get("depends_on", {}).items()
    ]

    assert all("healthcheck" in service for service, condition in waits if condition == "service_healthy")
    assert all(
        service["restart"] == "no" for service, condition in waits if condition == "service_completed_successfully"
    )


def test_data_lives_in_named_volumes() -> None:
    mounted = {volume for service in services().values() for volume in service.get("volumes", [])}

    assert mounted == {"postgres:/var/lib/postgresql", "kafka:/var/lib/kafka/data"}
    assert set(compose()["volumes"]) == {"postgres", "kafka"}


def test_no_port_is_open_to_the_network() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_tools_start_only_when_asked_for() -> None:
    assert {name for name, service in services().items() if service.get("profiles") == ["tools"]} == {
        "kafka-ui",
        "mailpit",
    }
