"""What the node needs from a transport, whatever carries the bytes (Rules P90 to P92).

A transport promises little: a published payload arrives at subscribers zero or more times, in any
order; who published it on BULK may be left out. Messages are repaired by rebroadcast, bodies by
pull. It never promises who sent something.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Protocol, Self, TypeAlias

PAYLOAD_BYTES_WISH = 256 * 2**10
PAYLOAD_BYTES_FLOOR = 8 * 2**10
TOPIC_BYTES_MAX = 128


class Lane(Enum):
    """Two independent ways, so that votes never wait behind bodies (Rule P91)."""

    CONTROL = "control"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One received payload.

    Attributes:
        topic: Where it came from; it routes and proves nothing (Rule P3).
        payload: The bytes as published.
        retained: Whether the broker had stored it before this node subscribed.
        lane: The lane by which it came.
    """

    topic: str
    payload: bytes
    retained: bool
    lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A lane is connected and subscribed: publish again what must be known (Rule P91).

    Attributes:
        lane: The lane.
        is_reconnect: Whether it had been connected before.
    """

    lane: Lane
    is_reconnect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """A lane lost its connection; the transport tries again by itself.

    Attributes:
        lane: The lane.
        reason: One sentence for the log.
    """

    lane: Lane
    reason: str


ConnectionEvent: TypeAlias = Connected | Disconnected


class Transport(Protocol):
    """An asynchronous context manager; entering connects, leaving disconnects."""

    @property
    def payload_bytes_max(self) -> int:
        """Largest payload known to come through; `PAYLOAD_BYTES_FLOOR` until that is known."""
        ...

    async def __aenter__(self) -> Self:
        """Connect both lanes within a bounded time.

        Raises:
            BrokerRefusedError: If only a person can change what is wrong.
            TransportError: If the broker cannot be reached.
        """
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; `packets` and `events` end."""
        ...

    async def subscribe(self, topics: Sequence[str], *, lane: Lane) -> None:
        """Receive these topics (`+` stands for one level) on that lane, after reconnects too.

        Raises:
            TransportError: If the broker refuses or does not answer in time.
        """
        ...

    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        """Hand a payload to the lane, in order.

        On CONTROL this never waits; what cannot be sent now is dropped and counted, because the
        node publishes it again (Rule P35). On BULK it waits, boundedly, for room.

        Raises:
            ValueError: If the topic or the payload is too long, or the topic has a wildcard.
            TransportError: On BULK, if there was no room in time: stop pushing this body.
        """
        ...

    def packets(self) -> AsyncIterator[Packet]:
        """Iterate over received payloads, those of CONTROL first, until the transport is closed."""
        ...

    def events(self) -> AsyncIterator[ConnectionEvent]:
        """Iterate over connects and disconnects until the transport is closed."""
        ...


def check_outgoing(topic: str, payload: bytes, payload_bytes_max: int) -> None:
    """Refuse what no broker would carry.

    Raises:
        ValueError: If the topic is too long or has a wildcard, or the payload is too long.
    """
    if len(topic.encode()) > TOPIC_BYTES_MAX or "+" in topic or "#" in topic or not topic:
        raise ValueError(f"expected a topic of 1 to {TOPIC_BYTES_MAX} bytes, got {topic!r}")
    if len(payload) > payload_bytes_max:
        raise ValueError(f"expected at most {payload_bytes_max} bytes, got {len(payload)}")


def topic_matches(pattern: str, topic: str) -> bool:
    """Return whether a subscription (levels, `+` for any one level) covers a topic.

    Examples:
        >>> topic_matches("fednode/1/status/+", "fednode/1/status/ab")
        True
        >>> topic_matches("fednode/1/+", "fednode/1/status/ab")
        False
    """
    wanted, levels = pattern.split("/"), topic.split("/")
    return len(wanted) == len(levels) and all(
        want in ("+", level) for want, level in zip(wanted, levels, strict=True)
    )
