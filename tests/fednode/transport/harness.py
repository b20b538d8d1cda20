"""The brokers over which the contract test of transports runs, behind one face."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from fednode.transport.base import ConnectionEvent, Packet, Transport
from fednode.transport.broker_process import BrokerProcess
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.transport.mqtt import MqttTransport
from fednode.transport.settings import BrokerSettings
from tests.fednode.transport.mosquitto import Mosquitto

ROOT = "fednode/0123456789abcdef"
WAIT_S = 20.0


class Harness(Protocol):
    """A running broker and a maker of transports for it."""

    def transport(self, member: bytes) -> Transport: ...

    def stop_broker(self) -> None: ...

    def start_broker(self) -> None: ...


class MemoryHarness:
    def __init__(self) -> None:
        self._hub = MemoryHub()

    def transport(self, member: bytes) -> Transport:
        return MemoryTransport(self._hub, name=member.hex()[:8])

    def stop_broker(self) -> None:
        self._hub.stop()

    def start_broker(self) -> None:
        self._hub.start()


class EmbeddedHarness:
    def __init__(self, process: BrokerProcess) -> None:
        self._process = process

    def transport(self, member: bytes) -> Transport:
        return mqtt_transport(self._process.url, member)

    def stop_broker(self) -> None:
        self._process.kill()

    def start_broker(self) -> None:
        self._process.__enter__()


class MosquittoHarness:
    def __init__(self, process: Mosquitto) -> None:
        self._process = process

    def transport(self, member: bytes) -> Transport:
        return mqtt_transport(self._process.url, member)

    def stop_broker(self) -> None:
        self._process.stop()

    def start_broker(self) -> None:
        self._process.start()


def mqtt_transport(url: str, member: bytes) -> MqttTransport:
    return MqttTransport(BrokerSettings(url=url), member=member, topic_root=ROOT)


async def next_packet(packets: AsyncIterator[Packet]) -> Packet:
    async with asyncio.timeout(WAIT_S):
        return await anext(packets)


async def next_packets(packets: AsyncIterator[Packet], number: int) -> list[Packet]:
    return [await next_packet(packets) for _ in range(number)]


async def next_event(events: AsyncIterator[ConnectionEvent]) -> ConnectionEvent:
    async with asyncio.timeout(WAIT_S):
        return await anext(events)
