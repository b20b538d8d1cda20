"""Bodies between nodes: pushed once, repaired by pull, durable before use (rule P91)."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fednode.clock import Clock
from fednode.transport.base import Lane
from fednode.transport.errors import TransportError
from fednode.wire.answers import AnswerLimits, PullAnswerer
from fednode.wire.bodies import BodyReceiver, Outcome, ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.messages import PullRequestMessage, encode_plaintext
from fednode.wire.packets import BodyPacket, PullRequest, cut, leaf_hashes, packet_granules
from fednode.wire.pull import Missing, PullLimits, PullPlanner
from fednode.wire.push import push_packets
from ledger.blobs import Blobs
from ledger.bodies import body_id
from ledger.keys import Signed, Verified

logger = logging.getLogger(__name__)

EARLY_BYTES_MAX = 32 * 2**20
"""Packets that overtake the header that announces them wait here."""
TICK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A body to hold: who announced it, its length if known, whom to ask for it."""

    body_id: bytes
    origin: int
    total_bytes: int | None
    height: int
    responders: tuple[int, ...]
    is_pushed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeParts:
    """What a body exchange works with.

    Attributes:
        line: Reaches the other members; packets go by the bulk lane.
        blobs: Where complete bodies are durable.
        sign: Signs a request of this member.
        clock: Monotonic time for waits.
        counters: Where refused packets and requests are counted.
        receiver_limits: Bounds on incomplete bodies.
        pull_limits: Waits and sizes of pull requests.
    """

    line: Line
    blobs: Blobs
    sign: Callable[[PullRequest], Signed[PullRequest]]
    clock: Clock
    counters: Counters
    receiver_limits: ReceiverLimits
    pull_limits: PullLimits


class BodyExchange:
    """Receives, asks for, stores and hands out bodies."""

    def __init__(self, parts: ExchangeParts) -> None:
        self._parts = parts
        self._line = parts.line
        self._receiver = BodyReceiver(
            body_id_of=body_id, limits=parts.receiver_limits, counters=parts.counters
        )
        self._planner = PullPlanner(
            own_member=parts.line.own, limits=parts.pull_limits, first_counter=parts.clock.now_ms()
        )
        self._answerer = PullAnswerer(
            own_member=parts.line.own, limits=AnswerLimits(), counters=parts.counters
        )
        self._wanted: dict[bytes, Wanted] = {}
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._settling: set[bytes] = set()
        self._early: OrderedDict[tuple[bytes, int, bool], BodyPacket] = OrderedDict()
        self._early_bytes = 0

    async def hold(self, wanted: Wanted) -> None:
        """Return once the body is durable here; it is asked for until then."""
        if self._parts.blobs.has(wanted.body_id):
            return
        self._want(wanted)
        future = self._waiting.get(wanted.body_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[wanted.body_id] = future
        self._take_early(wanted.body_id)
        await asyncio.shield(future)

    def forget(self, body_id: bytes) -> None:
        """Stop asking for a body that no open height needs."""
        self._receiver.forget(body_id)
        self._planner.done(body_id)
        self._wanted.pop(body_id, None)
        future = self._waiting.pop(body_id, None)
        if future is not None:
            future.cancel()

    def on_packet(self, packet: BodyPacket, *, sender: int | None) -> None:
        """Take a packet from the wire."""
        body = packet.body_id
        if not self._receiver.is_expected(body):
            self._keep_early(packet)
            return
        outcome = self._receiver.accept(packet, sender=sender)
        if outcome is Outcome.STORED or outcome is Outcome.FULL:
            missing = Missing(
                ranges=self._receiver.missing(body), refused=self._receiver.refused_senders(body)
            )
            self._planner.progress(body, missing, now_ms=self._parts.clock.monotonic_ms())
        if outcome is Outcome.FULL and body not in self._settling:
            self._settling.add(body)
            task = asyncio.create_task(self._settle(body), name="settle body")
            task.add_done_callback(lambda _: self._settling.discard(body))

    async def push(self, body: bytes) -> None:
        """Publish the packets of an own body once."""
        content = await asyncio.to_thread(self._parts.blobs.get, body)
        granules = packet_granules(self._line.transport.payload_bytes_max)
        leaves = await asyncio.to_thread(leaf_hashes, content)
        packets = cut(content, body, granules=granules, leaves=leaves)
        await self._publish(self._line.topics.bodies, packets)

    async def answer(self, request: Verified[PullRequest]) -> None:
        """Send a member the part of a body that it asks for, if it is held here."""
        statement, requester = request.statement, request.signer
        if statement.responder != self._line.own or not self._parts.blobs.has(statement.body_id):
            return
        content = await asyncio.to_thread(self._parts.blobs.get, statement.body_id)
        leaves = await asyncio.to_thread(leaf_hashes, content)
        packets = self._answerer.packets(
            statement,
            content,
            requester=requester,
            granules=packet_granules(self._line.transport.payload_bytes_max),
            now_ms=self._parts.clock.monotonic_ms(),
            leaves=leaves,
        )
        await self._publish(self._line.topics.answers(self._line.public_keys[requester]), packets)

    async def run(self) -> None:
        """Send pull requests when they are due, until cancelled."""
        while True:
            for body, wanted in self._wanted.items():
                # A bound of the receiver may have refused it earlier.
                self._receiver.expect(body, origin=wanted.origin, total_bytes=wanted.total_bytes)
            for request in self._planner.due(self._parts.clock.monotonic_ms()):
                self._receiver.restrict(request.body_id, sender=request.responder)
                message = PullRequestMessage(request=self._parts.sign(request))
                topic = self._line.topics.requests(self._line.public_keys[request.responder])
                payload = self._line.seal(encode_plaintext(message))
                await self._line.transport.publish(topic, payload, lane=Lane.CONTROL)
            await asyncio.sleep(TICK_S)

    def _want(self, wanted: Wanted) -> None:
        self._wanted[wanted.body_id] = wanted
        self._receiver.expect(wanted.body_id, origin=wanted.origin, total_bytes=wanted.total_bytes)
        self._planner.want(
            wanted.body_id,
            height=wanted.height,
            responders=wanted.responders,
            now_ms=self._parts.clock.monotonic_ms(),
            is_pushed=wanted.is_pushed,
        )

    async def _publish(self, topic: str, packets: Iterable[BodyPacket]) -> None:
        try:
            await push_packets(self._line.transport, topic, packets, seal=self._line.seal)
        except TransportError as error:
            logger.info("a body stays to be pulled: %s", error)

    async def _settle(self, body: bytes) -> None:
        content = self._receiver.content(body)
        stored = await asyncio.to_thread(self._store, body, content)
        if self._receiver.settle(body, matches=stored):
            self._planner.done(body)
            self._wanted.pop(body, None)
            future = self._waiting.pop(body, None)
            if future is not None and not future.done():
                future.set_result(None)
        else:
            missing = Missing(refused=self._receiver.refused_senders(body))
            self._planner.progress(body, missing, now_ms=self._parts.clock.monotonic_ms())

    def _store(self, body: bytes, content: bytes) -> bool:
        if body_id(content) != body:
            return False
        self._parts.blobs.put(content)
        return True

    def _keep_early(self, packet: BodyPacket) -> None:
        # Leaf hashes come in a packet of their own that names granule 0 too.
        key = (packet.body_id, packet.first, bool(packet.leaves))
        if key in self._early or self._parts.blobs.has(packet.body_id):
            return
        self._early[key] = packet
        self._early_bytes += _size(packet)
        while self._early_bytes > EARLY_BYTES_MAX:
            _, oldest = self._early.popitem(last=False)
            self._early_bytes -= _size(oldest)

    def _take_early(self, body: bytes) -> None:
        keys = [key for key in self._early if key[0] == body]
        for key in keys:
            packet = self._early.pop(key)
            self._early_bytes -= _size(packet)
            self.on_packet(packet, sender=None)


def _size(packet: BodyPacket) -> int:
    return len(packet.data) + len(packet.leaves)
