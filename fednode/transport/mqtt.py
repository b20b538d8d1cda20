"""The transport over MQTT: two connections to one broker, so that votes never wait behind bodies.

Everything goes out at QoS 1. Nothing is kept for the time of a disconnection: the node publishes
again after `Connected` (Rules P35 and P91).
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self

from fednode.transport.base import (
    ConnectionEvent,
    Lane,
    Packet,
    check_outgoing,
)
from fednode.transport.inbox import Inbox
from fednode.transport.lane import LaneOptions, MqttLane
from fednode.transport.settings import BrokerSettings

CLIENT_ID_MEMBER_HEX = 8
# MQTT 3.1.1 guarantees 23 letters and digits: 8 of the member, 1 of the lane, 14 random.
_CLIENT_ID_SUFFIX_BYTES = 7


class MqttTransport:
    """A node's two connections to one broker; satisfies `Transport`.

    Args:
        settings: The broker.
        member: This member's public key; its first digits begin the client ids.
        topic_root: `Topics.root` of the chain; the payload limit is measured below it.
        inbox: Bounds of what may wait; the usual ones if None.
        token: Returns that many random bytes: client ids, probes, jitter of the backoff.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        member: bytes,
        topic_root: str,
        inbox: Inbox | None = None,
        token: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._settings = settings
        self._member = member
        self._topic_root = topic_root
        self._token = token
        self.inbox = inbox or Inbox()
        self._lanes: dict[Lane, MqttLane] = {}

    @property
    def payload_bytes_max(self) -> int:
        """Largest payload that came back from the broker, as measured on the bulk lane."""
        return self._lane(Lane.BULK).payload_bytes_max

    def dropped(self, lane: Lane) -> int:
        """Return how many outgoing payloads of a lane were not acknowledged by the broker."""
        return self._lane(lane).dropped

    async def __aenter__(self) -> Self:
        """Connect both lanes.

        Raises:
            BrokerRefusedError: If settings or broker need a person's hand.
            TransportError: If the broker could not be reached in time.
        """
        for lane in Lane:
            self._lanes[lane] = MqttLane(
                self._settings, self._options(lane), inbox=self.inbox, token=self._token
            )
        try:
            # One after the other: a wrong password is then tried once, not twice.
            for lane in Lane:
                await self._lanes[lane].start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect both lanes."""
        await self._close()

    async def subscribe(self, topics: Sequence[str], *, lane: Lane) -> None:
        """Receive these topics on that lane, after every reconnect too."""
        await self._lane(lane).subscribe(topics)

    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        """Publish at QoS 1; see `Transport.publish` for what waits and what is dropped."""
        check_outgoing(topic, payload, self.payload_bytes_max)
        if lane is Lane.CONTROL:
            self._lane(lane).publish_or_drop(topic, payload, retain=retain)
        else:
            await self._lane(lane).publish_when_room(topic, payload, retain=retain)

    def packets(self) -> AsyncIterator[Packet]:
        """Iterate over received payloads, those of CONTROL first."""
        return self.inbox.packets()

    def events(self) -> AsyncIterator[ConnectionEvent]:
        """Iterate over connects and disconnects."""
        return self.inbox.events()

    async def _close(self) -> None:
        for lane in self._lanes.values():
            await lane.close()
        self.inbox.close()

    def _lane(self, lane: Lane) -> MqttLane:
        if lane not in self._lanes:
            raise RuntimeError("enter the transport with `async with` before you use it")
        return self._lanes[lane]

    def _options(self, lane: Lane) -> LaneOptions:
        prefix = self._member.hex()[:CLIENT_ID_MEMBER_HEX]
        suffix = self._token(_CLIENT_ID_SUFFIX_BYTES).hex()
        return LaneOptions(
            lane=lane,
            client_id=f"{prefix}{lane.value[0]}{suffix}",
            probe_root=self._topic_root if lane is Lane.BULK else None,
        )
