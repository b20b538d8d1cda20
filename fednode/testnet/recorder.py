"""A bystander of a running network: subscribes, opens, records, and says what it can prove.

A process of its own with the network key of one member; it never signs or publishes a message.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fednode.clock import Clock
from fednode.events import Plain
from fednode.testnet.observations import Observations
from fednode.transport.base import Lane, Packet, Transport
from fednode.wire.envelope import Keyring, open_envelope
from fednode.wire.messages import WireMessage, decode_plaintext, is_inner_envelope
from fednode.wire.topics import Topics
from ledger.errors import DecodeError

PACKETS_MAX: Final = 100_000
"""Packets that the report lists; older ones are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketNote:
    """What a broker sees of a packet: when, on which topic below the chain's, how many bytes."""

    at_ms: int
    topic: str
    size: int


class Recorder:
    """Hears everything on the topics of one chain.

    Args:
        transport: Its own connection to the broker.
        topics: Topic names of the chain.
        keyring: Opens the envelopes.
        observations: What was heard, and its verdict.
        clock: Stamps what arrives.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        topics: Topics,
        keyring: Keyring,
        observations: Observations,
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._topics = topics
        self._keyring = keyring
        self._observations = observations
        self._clock = clock
        self.unopened = 0
        self.bytes_heard = 0
        self.packets: deque[PacketNote] = deque(maxlen=PACKETS_MAX)

    async def run(self, *, on_ready: Callable[[], None]) -> None:
        """Record until cancelled.

        Args:
            on_ready: Called once everything is subscribed, also what is for one member alone.
        """
        async with self._transport:
            topics = self._topics
            control = (topics.control, topics.every_status, topics.every_request)
            await self._transport.subscribe(control, lane=Lane.CONTROL)
            bulk = (topics.bodies, topics.every_answer)
            await self._transport.subscribe(bulk, lane=Lane.BULK)
            on_ready()
            async for packet in self._transport.packets():
                self._hear(packet)
                await asyncio.sleep(0)

    def report(self) -> Mapping[str, Plain]:
        """Return the verdict as plain data."""
        seen = self._observations
        return {
            "statements": seen.statements,
            "refused": seen.refused,
            "unopened": self.unopened,
            "bytes_heard": self.bytes_heard,
            "heights_certified": seen.heights_certified(),
            "heights_certified_twice": list(seen.heights_certified_twice()),
            "contradictions": [
                {"member": each.member, "kind": each.kind, "height": each.height, "view": each.view}
                for each in seen.contradictions
            ],
            "packets": [[each.at_ms, each.topic, each.size] for each in self.packets],
        }

    def _hear(self, packet: Packet) -> None:
        at_ms = self._clock.monotonic_ms()
        self.bytes_heard += len(packet.payload)
        self.packets.append(
            PacketNote(
                at_ms=at_ms,
                topic=packet.topic.removeprefix(f"{self._topics.root}/"),
                size=len(packet.payload),
            )
        )
        try:
            opened = open_envelope(packet.payload, self._keyring)
            if is_inner_envelope(opened.plaintext):
                return  # Rule P90: bodies are for members alone.
            message = decode_plaintext(opened.plaintext)
        except DecodeError:
            self.unopened += 1
            return
        if not isinstance(message, WireMessage):
            self._observations.hear(message)


def save_report(path: Path, report: Mapping[str, Plain]) -> None:
    """Write a report as JSON."""
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
