"""Bodies of others: received, asked for, durable before anybody is told (rule P91)."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from fednode.clock import Clock
from fednode.spawning import Spawn, cannot_spawn
from fednode.transport.base import Lane
from fednode.wire.bodies import BodyReceiver, Outcome, ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.messages import PullRequestMessage, encode_plaintext
from fednode.wire.packets import BodyPacket, PullRequest
from fednode.wire.pull import Missing, PullLimits, PullPlanner
from ledger.blobs import Blobs
from ledger.bodies import body_id
from ledger.keys import Signed

EARLY_BYTES_MAX = 32 * 2**20
"""Packets that overtake the header that announces them wait here."""
EARLY_ENTRY_BYTES = 1024
"""Counted for each of them besides its bytes, so that tiny ones are bounded too (rule P37)."""
TICK_S = 0.2


class BodyForgottenError(Exception):
    """The body is of a height that is decided: nobody needs it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A body to hold.

    Attributes:
        body_id: Its id.
        origin: Member that announced it; this node itself for what a decided block names.
        total_bytes: Its length.
        height: The last height that needs it.
        responders: Members to ask for it, in this order.
        is_pushed: Whether packets may come by themselves.
    """

    body_id: bytes
    origin: int
    total_bytes: int
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
        can_read: Whether answers of a member would open here (rule P90).
        clock: Monotonic time for waits.
        first_counter: Above every counter of a request in earlier runs.
        counters: Where refused packets and requests are counted.
        receiver_limits: Tells the bounds on incomplete bodies in force.
        pull_limits: Waits and sizes of pull requests.
    """

    line: Line
    blobs: Blobs
    sign: Callable[[PullRequest], Signed[PullRequest]]
    can_read: Callable[[int], bool]
    clock: Clock
    first_counter: int
    counters: Counters
    receiver_limits: Callable[[], ReceiverLimits]
    pull_limits: PullLimits


class BodyExchange:
    """Receives bodies, asks for what did not come, stores them."""

    def __init__(self, parts: ExchangeParts) -> None:
        self._parts = parts
        self._line = parts.line
        self._receiver = BodyReceiver(
            body_id_of=body_id, limits=parts.receiver_limits, counters=parts.counters
        )
        self._planner = PullPlanner(
            own_member=parts.line.own,
            limits=parts.pull_limits,
            first_counter=parts.first_counter,
            can_read=parts.can_read,
        )
        self._wanted: dict[bytes, Wanted] = {}
        self._waiting: dict[bytes, asyncio.Future[memoryview | None]] = {}
        self._settling: set[bytes] = set()
        self._early: OrderedDict[tuple[bytes, int, bool], BodyPacket] = OrderedDict()
        self._early_bytes = 0
        self._early_before: tuple[tuple[bytes, int, bool], ...] = ()
        self._spawn: Spawn = cannot_spawn

    def start(self, spawn: Spawn) -> None:
        """Begin to send pull requests when they are due."""
        self._spawn = spawn
        _ = spawn(self._run(), "pull requests")

    async def hold(self, wanted: Wanted) -> memoryview | None:
        """Return once the body is durable here; it is asked for until then.

        Returns:
            Its bytes, checked, if they came meanwhile; None if it is on the disk alone.

        Raises:
            BodyForgottenError: If its height was decided meanwhile.
        """
        body = wanted.body_id
        if self._parts.blobs.has(body):
            return None
        self._want(wanted)
        future = self._waiting.get(body)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[body] = future
        self._take_early(body)
        return await asyncio.shield(future)

    def forget_through(self, height: int, *, keep: Collection[bytes]) -> None:
        """Stop asking for bodies that no height after this one needs, except those to keep."""
        self._drop_early()
        for body, wanted in list(self._wanted.items()):
            if wanted.height > height or body in keep:
                continue
            self._receiver.forget(body)
            self._end(body).set_exception(BodyForgottenError)

    def note_stored(self, body: bytes) -> None:
        """Take note of a body that this node made itself while it was asked for."""
        if body in self._wanted:
            self._receiver.forget(body)
            self._end(body).set_result(None)

    def on_packet(self, packet: BodyPacket, *, sender: int | None) -> None:
        """Take a packet from the wire."""
        body = packet.body_id
        if not self._receiver.is_expected(body):
            self._keep_early(packet)
            return
        outcome = self._receiver.accept(packet, sender=sender)
        if outcome in (Outcome.STORED, Outcome.SPOILT, Outcome.FULL):
            missing = Missing(
                ranges=self._receiver.missing(body), refused=self._receiver.refused_senders(body)
            )
            now_ms = self._parts.clock.monotonic_ms()
            self._planner.progress(body, missing, now_ms=now_ms, sender=sender)
        if outcome is Outcome.FULL and body not in self._settling:
            self._settling.add(body)
            is_proven = self._receiver.is_proven(body)
            work = self._settle(body, self._receiver.content(body), is_proven=is_proven)
            _ = self._spawn(work, "settle body")

    async def _run(self) -> None:
        while True:
            for wanted in self._wanted.values():
                # A bound of the receiver may have refused it earlier.
                self._expect(wanted)
            for request in self._planner.due(self._parts.clock.monotonic_ms()):
                self._receiver.restrict(request.body_id, sender=request.responder)
                message = PullRequestMessage(request=self._parts.sign(request))
                topic = self._line.topics.requests(request.responder)
                payload = self._line.seal(encode_plaintext(message))
                await self._line.transport.publish(topic, payload, lane=Lane.CONTROL)
            await asyncio.sleep(TICK_S)

    def _want(self, wanted: Wanted) -> None:
        body = wanted.body_id
        known = self._wanted.get(body)
        if known is not None and known.total_bytes != wanted.total_bytes:
            # A header may name a model's id to claim another length: the decided block is right.
            if known.origin == self._line.own:
                wanted = known
            else:
                self._receiver.forget(body)
                self._planner.done(body)
        elif known is not None:
            wanted = replace(wanted, height=max(known.height, wanted.height))
        self._wanted[body] = wanted
        if not self._expect(wanted) and not wanted.is_pushed:
            self._make_room(wanted.origin)
            self._expect(wanted)
        self._planner.want(
            body,
            height=wanted.height,
            responders=wanted.responders,
            now_ms=self._parts.clock.monotonic_ms(),
            is_pushed=wanted.is_pushed,
            total_bytes=wanted.total_bytes,
        )

    def _expect(self, wanted: Wanted) -> bool:
        return self._receiver.expect(
            wanted.body_id, origin=wanted.origin, total_bytes=wanted.total_bytes
        )

    def _make_room(self, origin: int) -> None:
        """Let go what a trainer only announced: a block names another body of it (P12, P37)."""
        for body, other in self._wanted.items():
            if other.origin == origin and other.is_pushed:
                self._receiver.forget(body)

    def _end(self, body: bytes) -> "asyncio.Future[memoryview | None]":
        """Want a body no longer; return what those who hold it wait for."""
        self._planner.done(body)
        del self._wanted[body]
        return self._waiting.pop(body)

    async def _settle(self, body: bytes, content: memoryview, *, is_proven: bool) -> None:
        is_right = await asyncio.to_thread(self._store, body, content, is_proven=is_proven)
        self._settling.discard(body)
        if body not in self._wanted:
            return
        if self._receiver.settle(body, matches=is_right):
            self._end(body).set_result(content)
        else:
            missing = Missing(refused=self._receiver.refused_senders(body))
            self._planner.progress(body, missing, now_ms=self._parts.clock.monotonic_ms())

    def _store(self, body: bytes, content: memoryview, *, is_proven: bool) -> bool:
        # Rule P4: where every leaf was checked as it came, their root was too.
        if not is_proven and body_id(content) != body:
            return False
        self._parts.blobs.put_as(body, content)
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

    def _drop_early(self) -> None:
        """Let go what no header announced during a whole height: otherwise junk would stay."""
        for key in self._early_before:
            packet = self._early.pop(key, None)
            if packet is not None:
                self._early_bytes -= _size(packet)
        self._early_before = tuple(self._early)

    def _take_early(self, body: bytes) -> None:
        keys = [key for key in self._early if key[0] == body]
        for key in keys:
            packet = self._early.pop(key)
            self._early_bytes -= _size(packet)
            self.on_packet(packet, sender=None)


def _size(packet: BodyPacket) -> int:
    return EARLY_ENTRY_BYTES + len(packet.data) + len(packet.leaves)
