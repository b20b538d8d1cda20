"""Bounded queues between a transport and the node; votes are taken out before bodies."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fednode.transport.base import ConnectionEvent, Lane, Packet
from fednode.transport.errors import TransportError

EVENTS_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """What may wait on one lane (Rule P37).

    Attributes:
        packets: Number of payloads.
        bytes_max: Sum of their lengths in bytes.
    """

    packets: int
    bytes_max: int


CONTROL_LIMITS = InboxLimits(packets=16_384, bytes_max=64 * 2**20)
BULK_LIMITS = InboxLimits(packets=16_384, bytes_max=256 * 2**20)


class Inbox:
    """Received packets and connection events of one node.

    A packet that finds no room is dropped and counted; rebroadcast or pull repairs it.

    Args:
        control: Bounds of the lane CONTROL.
        bulk: Bounds of the lane BULK.
    """

    def __init__(
        self, *, control: InboxLimits = CONTROL_LIMITS, bulk: InboxLimits = BULK_LIMITS
    ) -> None:
        self._limits = {Lane.CONTROL: control, Lane.BULK: bulk}
        self._waiting: dict[Lane, deque[Packet]] = {lane: deque() for lane in Lane}
        self._bytes = dict.fromkeys(Lane, 0)
        self._dropped = dict.fromkeys(Lane, 0)
        self._events: deque[ConnectionEvent] = deque(maxlen=EVENTS_MAX)
        self._packet_came = asyncio.Event()
        self._event_came = asyncio.Event()
        self._is_closed = False
        self._failure: TransportError | None = None

    def put(self, packet: Packet) -> bool:
        """Queue a packet; return False if it was dropped for want of room."""
        lane, size = packet.lane, len(packet.payload)
        limits = self._limits[lane]
        full = len(self._waiting[lane]) >= limits.packets
        if self._is_closed or full or self._bytes[lane] + size > limits.bytes_max:
            self._dropped[lane] += 1
            return False
        self._waiting[lane].append(packet)
        self._bytes[lane] += size
        self._packet_came.set()
        return True

    def put_event(self, event: ConnectionEvent) -> None:
        """Queue an event; of more than `EVENTS_MAX` only the newest are kept."""
        self._events.append(event)
        self._event_came.set()

    def fail(self, failure: TransportError) -> None:
        """Let `events` raise: a lane ended by a fault of this program, and nobody restarts it."""
        self._failure = failure
        self._event_came.set()

    def dropped(self, lane: Lane) -> int:
        """Return how many packets of a lane found no room."""
        return self._dropped[lane]

    def close(self) -> None:
        """Let both iterators end once they have handed out what is queued."""
        self._is_closed = True
        self._packet_came.set()
        self._event_came.set()

    async def packets(self) -> AsyncIterator[Packet]:
        """Yield packets, CONTROL before BULK and in order within a lane, until `close`."""
        while True:
            packet = self._take()
            if packet is not None:
                yield packet
            elif self._is_closed:
                return
            else:
                self._packet_came.clear()
                await self._packet_came.wait()

    async def events(self) -> AsyncIterator[ConnectionEvent]:
        """Yield events in order until `close`."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._events:
                yield self._events.popleft()
            elif self._is_closed:
                return
            else:
                self._event_came.clear()
                await self._event_came.wait()

    def _take(self) -> Packet | None:
        for lane in (Lane.CONTROL, Lane.BULK):
            if self._waiting[lane]:
                packet = self._waiting[lane].popleft()
                self._bytes[lane] -= len(packet.payload)
                return packet
        return None
