"""Every user's mistake and every failure of the broker has a sentence of its own."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fednode.transport.base import PAYLOAD_BYTES_FLOOR, Connected, Lane
from fednode.transport.errors import BrokerRefusedError, TransportError
from fednode.transport.mqtt import MqttTransport
from fednode.transport.settings import BrokerSettings
from tests.fednode.transport.harness import ROOT, next_event
from tests.fednode.transport.mosquitto import Mosquitto, free_port, make_certificates

pytestmark = pytest.mark.network

QUICK = {"first_connect_ms": 1_500, "answer_timeout_ms": 300}


async def connect(settings: BrokerSettings) -> None:
    async with MqttTransport(settings, member=bytes(32), topic_root=ROOT):
        pass


async def test_a_wrong_password_ends_the_start_at_once(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    with Mosquitto(mosquitto_binary, tmp_path, user=("clinic", "right")) as broker:
        wrong = BrokerSettings(url=broker.url, username="clinic", password="wrong")  # noqa: S106

        with pytest.raises(BrokerRefusedError, match=r"refuses user 'clinic'.*check username and"):
            async with asyncio.timeout(5):
                await connect(wrong)


async def test_a_right_password_in_a_file_is_accepted(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("right\n")
    with Mosquitto(mosquitto_binary, tmp_path, user=("clinic", "right")) as broker:
        await connect(BrokerSettings(url=broker.url, username="clinic", password_file=secret))


async def test_a_login_without_a_name_is_refused_by_a_broker_with_passwords(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    with (
        Mosquitto(mosquitto_binary, tmp_path, user=("clinic", "right")) as broker,
        pytest.raises(BrokerRefusedError, match=r"refuses a login without user name"),
    ):
        await connect(BrokerSettings(url=broker.url))


async def test_a_broker_that_is_down_is_an_error_in_bounded_time() -> None:
    port = free_port()
    settings = BrokerSettings(url=f"mqtt://127.0.0.1:{port}", first_connect_ms=500)

    with pytest.raises(TransportError, match=rf"127.0.0.1:{port}: nothing listens there: start"):
        await connect(settings)


async def test_a_node_that_keeps_trying_connects_when_the_broker_comes(
    mosquitto_binary: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Mosquitto(mosquitto_binary, tmp_path)
    settings = BrokerSettings(url=broker.url, first_connect_ms=300, keep_trying=True)
    with caplog.at_level(logging.WARNING):
        async with MqttTransport(settings, member=bytes(32), topic_root=ROOT) as node:
            before = node.payload_bytes_max

            with broker:
                events = node.events()
                lanes = {(await next_event(events)).lane for _ in Lane}
                after = node.payload_bytes_max

    assert lanes == set(Lane)
    assert (before, after) == (PAYLOAD_BYTES_FLOOR, 256 * 1024)
    assert "starting without the broker: " in caplog.text


async def test_a_body_is_refused_when_the_bulk_lane_stays_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fednode.transport.lane.PUBLISH_TIMEOUT_MS", 100)
    url = f"mqtt://127.0.0.1:{free_port()}"
    settings = BrokerSettings(url=url, first_connect_ms=200, keep_trying=True)
    async with MqttTransport(settings, member=bytes(32), topic_root=ROOT) as node:
        with pytest.raises(TransportError, match=r"no room on the bulk lane within 100 ms"):
            await node.publish(f"{ROOT}/bodies", b"body", lane=Lane.BULK)

        await node.publish(f"{ROOT}/control", b"vote", lane=Lane.CONTROL)

        assert node.dropped(Lane.CONTROL) == 1


async def test_tls_with_the_right_authority_connects(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    with Mosquitto(mosquitto_binary, tmp_path, certificates=certificates) as broker:
        settings = BrokerSettings(url=broker.url, ca_file=certificates.ca_file)

        async with MqttTransport(settings, member=bytes(32), topic_root=ROOT) as node:
            assert isinstance(await next_event(node.events()), Connected)


async def test_tls_with_an_unknown_authority_is_refused(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    with (
        Mosquitto(mosquitto_binary, tmp_path, certificates=certificates) as broker,
        pytest.raises(BrokerRefusedError, match=r"TLS certificate is not trusted.*set ca_file"),
    ):
        await connect(BrokerSettings(url=broker.url))


async def test_tls_to_a_plain_port_is_refused_with_the_cause(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    with (
        Mosquitto(mosquitto_binary, tmp_path) as broker,
        pytest.raises(TransportError, match=r"hangs up on TLS: check that this port speaks TLS"),
    ):
        await connect(BrokerSettings(url=f"mqtts://127.0.0.1:{broker.port}", **QUICK))  # type: ignore[arg-type]


async def test_plain_mqtt_to_a_tls_port_says_so(mosquitto_binary: Path, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with (
        Mosquitto(mosquitto_binary, tmp_path, certificates=certificates) as broker,
        pytest.raises(TransportError, match=r"hangs up.*MQTT without TLS \(else use mqtts://\)"),
    ):
        await connect(BrokerSettings(url=f"mqtt://127.0.0.1:{broker.port}", **QUICK))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def stranger(answer: bytes | None) -> AsyncIterator[int]:
    """A server that is no broker: answers with these bytes and hangs up, or never answers."""
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is None:
            await release.wait()
        else:
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
        release.set()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", r"does not answer as|hangs up: check that it is"),
        (b"", r"accepts connections and hangs up: check that it is a broker for MQTT"),
        (None, r"does not answer as an MQTT broker .*check host and port"),
    ],
    ids=["http", "hangs up", "silent"],
)
async def test_a_server_that_is_no_broker_is_an_error_in_bounded_time(
    answer: bytes | None, sentence: str
) -> None:
    async with stranger(answer) as port:
        settings = BrokerSettings(url=f"mqtt://127.0.0.1:{port}", **QUICK)  # type: ignore[arg-type]

        with pytest.raises(TransportError, match=sentence):
            async with asyncio.timeout(10):
                await connect(settings)
