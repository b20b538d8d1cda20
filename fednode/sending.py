"""Handing out bodies: the own ones pushed once, any that is held here on request (rule P91)."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from fednode.clock import Clock
from fednode.spawning import Spawn
from fednode.transport.errors import TransportError
from fednode.wire.answers import AnswerLimits, PullAnswerer
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.packets import BodyPacket, PullRequest, cut, leaf_hashes, packet_granules
from fednode.wire.push import push_packets
from fednode.wire.sender_keys import SenderKeys
from ledger.blobs import Blobs
from ledger.errors import StorageError
from ledger.keys import Verified

logger = logging.getLogger(__name__)

REQUESTS_WAITING_MAX = 64
"""Requests of one member that wait for their turn; it asks again for what is dropped."""


class BodySender:
    """Sends the packets of bodies; for each member at most one body at a time is in memory.

    Args:
        line: Reaches the other members; packets go by the bulk lane.
        blobs: Where the bodies are.
        keys: Seal bodies for the members alone.
        clock: Monotonic time for the bounds per requester.
        counters: Where refused requests are counted.
    """

    def __init__(
        self, *, line: Line, blobs: Blobs, keys: SenderKeys, clock: Clock, counters: Counters
    ) -> None:
        self._line = line
        self._keys = keys
        self._blobs = blobs
        self._clock = clock
        self._counters = counters
        self._answerer = PullAnswerer(own_member=line.own, limits=AnswerLimits(), counters=counters)
        self._requests: dict[int, deque[PullRequest]] = {}

    async def push(self, body: bytes, content: bytes | memoryview | None = None) -> bool:
        """Publish the packets of an own body once; return whether all of them were handed over.

        Args:
            body: Its id.
            content: Its bytes, where they are still in memory; else they are read from the disk.
        """
        if content is None:
            content = await self._read(body)
        if content is None:
            return False
        leaves = await asyncio.to_thread(leaf_hashes, content)
        packets = cut(content, body, granules=self._granules(), leaves=leaves)
        return await self._publish(self._line.topics.bodies, packets, self._keys.seal_push)

    def answer(self, request: Verified[PullRequest], spawn: Spawn) -> None:
        """Send a member the part of a body that it asks for, after what it asked for before."""
        requester = request.signer
        waiting = self._requests.get(requester)
        if waiting is not None:
            if len(waiting) < REQUESTS_WAITING_MAX:
                waiting.append(request.statement)
            else:
                self._counters.add("pulls_waiting")
            return
        self._requests[requester] = deque([request.statement])
        _ = spawn(self._answer_all(requester), "answer pulls")

    async def _answer_all(self, requester: int) -> None:
        waiting = self._requests[requester]
        while waiting:
            await self._answer(waiting.popleft(), requester)
        del self._requests[requester]

    async def _answer(self, request: PullRequest, requester: int) -> None:
        if not self._keys.has_given(requester):
            self._counters.add("pull_without_keys")
            return
        body = request.body_id
        body_bytes = self._blobs.size(body)
        if not body_bytes:
            self._counters.add("pull_of_unknown")
            return
        ranges = self._answerer.admitted(
            request,
            body_bytes=body_bytes,
            requester=requester,
            now_ms=self._clock.monotonic_ms(),
        )
        content = await self._read(body) if ranges else None
        if content is None:
            return
        leaves = await asyncio.to_thread(leaf_hashes, content)
        packets = cut(content, body, granules=self._granules(), ranges=ranges, leaves=leaves)
        seal = partial(self._keys.seal_answer, member=requester)
        await self._publish(self._line.topics.answers(requester), packets, seal)

    async def _read(self, body: bytes) -> bytes | None:
        # Nothing is signed for what others ask for: whoever needs the body here stops the node.
        try:
            return await asyncio.to_thread(self._blobs.get, body)
        except StorageError as error:
            logger.warning("a body cannot be sent: %s", error)
            return None

    async def _publish(
        self, topic: str, packets: Iterable[BodyPacket], seal: Callable[[bytes], bytes]
    ) -> bool:
        """Seal packets for the members that may read them, and that for the broker (rule P90)."""

        def sealed(packet: bytes) -> bytes:
            return self._line.seal(seal(packet))

        try:
            await push_packets(self._line.transport, topic, packets, seal=sealed)
        except TransportError as error:
            logger.info("a body stays to be pulled: %s", error)
            return False
        return True

    def _granules(self) -> int:
        return packet_granules(self._line.transport.payload_bytes_max)
