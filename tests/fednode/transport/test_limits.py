"""The search for the largest payload that a broker carries (Rule P91)."""

import asyncio
import secrets
from pathlib import Path

import aiomqtt
import pytest

from fednode.transport.base import Lane
from fednode.transport.connection import Connection
from fednode.transport.errors import TransportError
from fednode.transport.mqtt import MqttTransport
from fednode.transport.probe import measure_payload_bytes, probe_topic
from fednode.transport.settings import BrokerSettings, endpoint_of
from tests.fednode.transport.harness import ROOT, next_packet
from tests.fednode.transport.mosquitto import Mosquitto

pytestmark = pytest.mark.network

MIB = 2**20
V311 = aiomqtt.ProtocolVersion.V311


async def test_the_probe_is_not_deceived_by_a_broker_that_acknowledges_and_drops(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    options = [f"message_size_limit {MIB}"]
    with Mosquitto(mosquitto_binary, tmp_path, options=options) as broker:
        settings = BrokerSettings(url=broker.url)
        connection = Connection(
            endpoint_of(settings), settings, password=None, client_id="probe", version=V311
        )
        await connection.open()
        try:
            size = await measure_payload_bytes(
                connection,
                probe_topic(ROOT, secrets.token_bytes),
                wish_bytes=3 * MIB,
                timeout_ms=10_000,
                token=secrets.token_bytes,
            )
        finally:
            await connection.close()

    assert size == 3 * MIB // 4


@pytest.mark.parametrize("option", ["max_packet_size", "message_size_limit"])
async def test_a_payload_of_the_found_limit_comes_through_a_limited_broker(
    mosquitto_binary: Path, tmp_path: Path, option: str
) -> None:
    with Mosquitto(mosquitto_binary, tmp_path, options=[f"{option} {MIB}"]) as broker:
        settings = BrokerSettings(url=broker.url, payload_bytes_wish=3 * MIB)
        async with (
            MqttTransport(settings, member=bytes(32), topic_root=ROOT) as node,
            MqttTransport(settings, member=bytes(32), topic_root=ROOT) as other,
        ):
            await other.subscribe([f"{ROOT}/bodies"], lane=Lane.BULK)
            payload = secrets.token_bytes(node.payload_bytes_max)

            await node.publish(f"{ROOT}/bodies", payload, lane=Lane.BULK)

            assert (await next_packet(other.packets())).payload == payload
            assert MIB // 2 < node.payload_bytes_max < MIB


async def test_a_broker_that_hangs_up_on_large_packets_is_probed_with_smaller_ones(
    mosquitto_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As under MQTT 3.1.1, where a broker cannot announce its limit.
    announced = property(lambda _: None, lambda _, __: None)
    monkeypatch.setattr(Connection, "packet_bytes_max", announced, raising=False)
    with Mosquitto(mosquitto_binary, tmp_path, options=[f"max_packet_size {MIB}"]) as broker:
        settings = BrokerSettings(url=broker.url, payload_bytes_wish=3 * MIB)

        async with MqttTransport(settings, member=bytes(32), topic_root=ROOT) as node:
            size = node.payload_bytes_max

    assert size == 3 * MIB // 4


async def test_a_limit_too_small_for_packets_of_bodies_is_reported(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    with Mosquitto(mosquitto_binary, tmp_path, options=["message_size_limit 2000"]) as broker:
        settings = BrokerSettings(url=broker.url, first_connect_ms=2_000)
        node = MqttTransport(settings, member=bytes(32), topic_root=ROOT)

        with pytest.raises(TransportError, match=r"carries no payload of 8192 bytes.*raise its"):
            async with node:
                pass


async def test_a_user_without_access_rights_is_told_what_to_allow(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read other/#\n")
    with Mosquitto(mosquitto_binary, tmp_path, options=[f"acl_file {acl}"]) as broker:
        settings = BrokerSettings(url=broker.url, first_connect_ms=1_500, answer_timeout_ms=500)
        node = MqttTransport(settings, member=bytes(32), topic_root=ROOT)

        with pytest.raises(TransportError, match=r"read and write fednode/# in the broker's acc"):
            async with node:
                pass


async def test_own_bodies_do_not_come_back_from_a_broker_that_speaks_mqtt_5(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    topic = f"{ROOT}/bodies"
    with Mosquitto(mosquitto_binary, tmp_path) as broker:
        settings = BrokerSettings(url=broker.url)
        async with (
            MqttTransport(settings, member=bytes(32), topic_root=ROOT) as node,
            MqttTransport(settings, member=bytes(32), topic_root=ROOT) as other,
        ):
            for each in (node, other):
                await each.subscribe([topic], lane=Lane.BULK)

            await node.publish(topic, b"own", lane=Lane.BULK)
            received = [(await next_packet(other.packets())).payload]
            await other.publish(topic, b"of another", lane=Lane.BULK)
            received.append((await next_packet(node.packets())).payload)

    assert received == [b"own", b"of another"]


async def test_payloads_that_waited_come_before_later_ones_until_the_broker_is_gone(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    topic, received = f"{ROOT}/control", asyncio.Queue[tuple[str, bytes, bool]]()

    def take(topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        received.put_nowait((topic, payload, retained))

    with Mosquitto(mosquitto_binary, tmp_path) as broker:
        settings = BrokerSettings(url=broker.url)
        connection = Connection(
            endpoint_of(settings), settings, password=None, client_id="own", version=V311
        )
        await connection.open()
        await connection.publish(topic, b"stored", qos=1, retain=True)
        await connection.subscribe_all([topic])
        await connection.publish(topic, b"waits", qos=1)

        serving = asyncio.create_task(connection.serve(take))
        first = [await asyncio.wait_for(received.get(), timeout=5) for _ in range(2)]
        await connection.publish(topic, b"later", qos=1)
        last = await asyncio.wait_for(received.get(), timeout=5)
    reason = await asyncio.wait_for(serving, timeout=5)
    await connection.close()

    assert first == [(topic, b"stored", True), (topic, b"waits", False)]
    assert last == (topic, b"later", False)
    assert reason
