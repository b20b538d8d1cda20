"""Brokers for the tests of transports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fednode.transport.broker_process import BrokerProcess
from tests.fednode.transport.harness import (
    EmbeddedHarness,
    Harness,
    MemoryHarness,
    MosquittoHarness,
)
from tests.fednode.transport.mosquitto import Mosquitto


@pytest.fixture(
    params=[
        "memory",
        pytest.param("embedded", marks=pytest.mark.network),
        pytest.param("mosquitto", marks=pytest.mark.network),
    ]
)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """Each kind of broker in turn, running."""
    match request.param:
        case "memory":
            yield MemoryHarness()
        case "embedded":
            with BrokerProcess() as process:
                yield EmbeddedHarness(process)
        case _:
            binary = request.getfixturevalue("mosquitto_binary")
            with Mosquitto(binary, tmp_path) as broker:
                yield MosquittoHarness(broker)
