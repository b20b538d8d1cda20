"""The embedded broker as a process and inside an event loop."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from fednode.transport.base import Lane
from fednode.transport.broker import embedded_broker
from fednode.transport.broker_process import BrokerProcess
from fednode.transport.errors import BrokerRefusedError, TransportError
from tests.fednode.transport.harness import ROOT, mqtt_transport, next_packet

pytestmark = pytest.mark.network

MODULE = [sys.executable, "-m", "fednode.transport.broker"]


async def test_a_broker_in_the_event_loop_serves_and_leaves_nothing_behind() -> None:
    async with (
        embedded_broker() as port,
        mqtt_transport(f"mqtt://127.0.0.1:{port}", bytes(32)) as node,
    ):
        await node.subscribe([f"{ROOT}/control"], lane=Lane.CONTROL)
        await node.publish(f"{ROOT}/control", b"vote", lane=Lane.CONTROL)
        assert (await next_packet(node.packets())).payload == b"vote"

    with socket.socket() as trial:
        assert trial.connect_ex(("127.0.0.1", port)) != 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_taken_port_is_one_clear_error() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(BrokerRefusedError, match=rf"127.0.0.1:{port}: something else listens"):
            async with embedded_broker(port=port):
                pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "clinic.example"])  # noqa: S104
async def test_an_address_beyond_this_computer_must_be_asked_for(host: str) -> None:
    with pytest.raises(BrokerRefusedError, match=r"no passwords: expected a loopback address"):
        async with embedded_broker(host):
            pass


def test_the_process_prints_its_port_as_one_line_and_ends_cleanly_on_a_signal() -> None:
    process = subprocess.Popen(MODULE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()

    process.send_signal(signal.SIGTERM)

    output, errors = process.communicate(timeout=20)
    assert set(json.loads(line)) == {"port"}
    assert (process.returncode, output, errors) == (0, b"", b"")


def test_the_process_ends_when_its_input_is_closed() -> None:
    process = subprocess.Popen(
        [*MODULE, "--stop-with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()

    process.communicate(timeout=20)

    assert process.returncode == 0


def test_the_process_ends_when_its_parent_is_killed() -> None:
    # The grandchild inherits standard output: it reaches its end only when both are gone.
    code = (
        "import subprocess, sys, time; "
        f"subprocess.Popen({[*MODULE, '--stop-with-parent']!r}, stdin=subprocess.PIPE); "
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    port = json.loads(parent.stdout.readline())["port"]

    os.kill(parent.pid, signal.SIGKILL)

    parent.communicate(timeout=20)
    with socket.socket() as trial:
        assert trial.connect_ex(("127.0.0.1", port)) != 0


def test_the_process_reports_a_taken_port_with_exit_code_2() -> None:
    with BrokerProcess() as broker:
        result = subprocess.run(
            [*MODULE, "--port", str(broker.port)], capture_output=True, text=True, check=False
        )

        with pytest.raises(TransportError, match=r"did not start: .*something else listens there"):
            BrokerProcess(broker.port).__enter__()

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
