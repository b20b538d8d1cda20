"""A broker in memory, for tests and notebooks: same promises as MQTT, deterministic order.

Time does not exist here. A delayed copy is delivered after that many further payloads were
published on the hub, or by `flush`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from fednode.transport.base import (
    PAYLOAD_BYTES_FLOOR,
    PAYLOAD_BYTES_WISH,
    Connected,
    ConnectionEvent,
    Disconnected,
    Lane,
    Packet,
    check_outgoing,
    topic_matches,
)
from fednode.transport.errors import TransportError
from fednode.transport.inbox import Inbox

RETAINED_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One payload on its way from a publisher to a subscriber, by their names on the hub."""

    sender: str
    receiver: str
    packet: Packet


LinkHook: TypeAlias = Callable[[Link], tuple[int, ...]]
"""Returns one delay per copy: () drops, (0,) delivers, (0, 0) duplicates, (3,) delays."""


def deliver_once(link: Link) -> tuple[int, ...]:
    """Deliver every payload once and at once."""
    del link
    return (0,)


class MemoryHub:
    """The broker: routes payloads between the transports attached to it.

    Args:
        payload_bytes_max: Largest payload that it carries.
        hook: Decides what happens on each link.
    """

    def __init__(
        self, *, payload_bytes_max: int = PAYLOAD_BYTES_WISH, hook: LinkHook = deliver_once
    ) -> None:
        if payload_bytes_max < PAYLOAD_BYTES_FLOOR:
            raise ValueError(f"expected at least {PAYLOAD_BYTES_FLOOR}, got {payload_bytes_max}")
        self.payload_bytes_max = payload_bytes_max
        self.hook = hook
        self._is_up = True
        self._published = 0
        self._attached: list[MemoryTransport] = []
        self._retained: dict[str, tuple[str, Packet]] = {}
        self._delayed: list[tuple[int, MemoryTransport, Packet]] = []

    @property
    def is_up(self) -> bool:
        """Whether the hub carries payloads."""
        return self._is_up

    def attach(self, transport: "MemoryTransport") -> None:
        """Add a transport; the order of attaching is the order of delivery."""
        self._attached.append(transport)

    def detach(self, transport: "MemoryTransport") -> None:
        """Remove a transport and what was on its way to it."""
        self._attached.remove(transport)
        self._delayed = [each for each in self._delayed if each[1] is not transport]

    def stop(self) -> None:
        """Break every connection, as a broker that is killed; retained payloads are lost."""
        self._is_up = False
        self._retained.clear()
        self._delayed.clear()
        for transport in self._attached:
            transport.on_down("the hub was stopped")

    def start(self) -> None:
        """Accept connections again; every attached transport reconnects."""
        self._is_up = True
        for transport in self._attached:
            transport.on_up(is_reconnect=True)

    def route(self, sender: str, packet: Packet, *, retain: bool) -> None:
        """Deliver a payload to every subscriber, as the hook decides."""
        self._published += 1
        if retain and (packet.topic in self._retained or len(self._retained) < RETAINED_MAX):
            # As in MQTT, an empty retained payload deletes the stored one.
            self._retained.pop(packet.topic, None)
            if packet.payload:
                self._retained[packet.topic] = (sender, packet)
        for transport in self._attached:
            if transport.is_subscribed(packet):
                self._send(sender, transport, packet)
        self._deliver_until(self._published)

    def send_retained(self, transport: "MemoryTransport", pattern: str, lane: Lane) -> None:
        """Deliver the stored payloads that a new subscription covers, sorted by topic."""
        for topic in sorted(self._retained):
            if topic_matches(pattern, topic):
                sender, kept = self._retained[topic]
                packet = Packet(topic=topic, payload=kept.payload, retained=True, lane=lane)
                self._send(sender, transport, packet)

    def flush(self) -> None:
        """Deliver everything that is delayed, in the order in which it is due."""
        self._deliver_until(None)

    def _send(self, sender: str, transport: "MemoryTransport", packet: Packet) -> None:
        link = Link(sender=sender, receiver=transport.name, packet=packet)
        for delay in self.hook(link):
            if delay == 0:
                transport.on_packet(packet)
            else:
                self._delayed.append((self._published + delay, transport, packet))

    def _deliver_until(self, number: int | None) -> None:
        ready = [each for each in self._delayed if number is None or each[0] <= number]
        self._delayed = [each for each in self._delayed if each not in ready]
        for _, transport, packet in sorted(ready, key=lambda each: each[0]):
            transport.on_packet(packet)


class MemoryTransport:
    """A node's side of a `MemoryHub`; satisfies `Transport`.

    Args:
        hub: The hub to attach to.
        name: Shown to the hub's hook; need not be unique.
        inbox: Bounds of what may wait; the usual ones if None.
    """

    def __init__(self, hub: MemoryHub, *, name: str, inbox: Inbox | None = None) -> None:
        self.name = name
        self.inbox = inbox or Inbox()
        self.dropped_outgoing = 0
        self._hub = hub
        self._patterns: dict[Lane, list[str]] = {lane: [] for lane in Lane}

    @property
    def payload_bytes_max(self) -> int:
        """Largest payload that the hub carries."""
        return self._hub.payload_bytes_max

    async def __aenter__(self) -> Self:
        """Attach to the hub."""
        if not self._hub.is_up:
            raise TransportError("expected a running hub, got a stopped one: start it first")
        self._hub.attach(self)
        self.on_up(is_reconnect=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Detach from the hub."""
        self._hub.detach(self)
        self.inbox.close()

    async def subscribe(self, topics: Sequence[str], *, lane: Lane) -> None:
        """Receive these topics on that lane; stored payloads come first."""
        for topic in topics:
            if topic not in self._patterns[lane]:
                self._patterns[lane].append(topic)
            if self._hub.is_up:
                self._hub.send_retained(self, topic, lane)

    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        """Hand a payload to every subscriber; dropped on CONTROL while the hub is down."""
        check_outgoing(topic, payload, self.payload_bytes_max)
        if self._hub.is_up:
            packet = Packet(topic=topic, payload=bytes(payload), retained=False, lane=lane)
            self._hub.route(self.name, packet, retain=retain)
        elif lane is Lane.BULK:
            raise TransportError("expected a running hub, got a stopped one: publish again later")
        else:
            self.dropped_outgoing += 1

    def packets(self) -> AsyncIterator[Packet]:
        """Iterate over received payloads, those of CONTROL first."""
        return self.inbox.packets()

    def events(self) -> AsyncIterator[ConnectionEvent]:
        """Iterate over connects and disconnects."""
        return self.inbox.events()

    def is_subscribed(self, packet: Packet) -> bool:
        """Return whether a lane of this transport receives the topic of a packet."""
        return any(self._matches(lane, packet.topic) for lane in Lane)

    def on_packet(self, packet: Packet) -> None:
        """Receive a packet from the hub, on each lane that subscribed to its topic."""
        for lane in Lane:
            if self._matches(lane, packet.topic):
                copy = Packet(
                    topic=packet.topic, payload=packet.payload, retained=packet.retained, lane=lane
                )
                self.inbox.put(copy)

    def on_up(self, *, is_reconnect: bool) -> None:
        """Tell the node that both lanes are connected."""
        for lane in Lane:
            self.inbox.put_event(Connected(lane=lane, is_reconnect=is_reconnect))

    def on_down(self, reason: str) -> None:
        """Tell the node that both lanes lost their connection."""
        for lane in Lane:
            self.inbox.put_event(Disconnected(lane=lane, reason=reason))

    def _matches(self, lane: Lane, topic: str) -> bool:
        return any(topic_matches(pattern, topic) for pattern in self._patterns[lane])
