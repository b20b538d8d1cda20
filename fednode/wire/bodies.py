"""Putting bodies together from packets, in bounded memory (Rules P37 and P91). Pure, no clock.

Only bodies that were announced in a signed header are accepted. Once the hashes of its leaves are
known, which prove themselves, every leaf is checked when it is there, and a wrong one is dropped.
A packet that covers whole leaves proves itself then, whoever sent it.

All other packets have to be believed until more is there. What a member pushes names nobody, as
every member could have sealed it; an answer names its sender (Rule P90). When what was put together
is wrong and one known sender made it, that sender is refused for this body from then on. Else the
body is *contested*: only one member at a time is believed, the one that is asked, so every further
failure names a culprit and an honest holder is reached at last (Theorem B of Rule P12).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from fednode.wire.counters import Counters
from fednode.wire.packets import (
    BODY_BYTES_MAX,
    GRANULE_BYTES,
    HASH_BYTES,
    LEAF_GRANULES,
    RANGES_MAX,
    BodyPacket,
    GranuleRange,
    granules_in,
    leaves_in,
)
from fednode.wire.partial_body import PartialBody, ones, runs
from ledger.bodies import LEAF_BYTES
from ledger.merkle import root_of_hashes


class Outcome(Enum):
    """What became of a packet."""

    STORED = auto()
    DUPLICATE = auto()
    REFUSED = auto()
    SPOILT = auto()
    FULL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimits:
    """Bounds on what incomplete bodies may occupy (Rule P37).

    Attributes:
        body_bytes: Largest accepted body.
        bodies_per_origin: Incomplete bodies announced by one member.
        bytes_per_origin: Memory for bodies announced by one member.
        bytes_total: Memory for all incomplete bodies.
    """

    body_bytes: int = BODY_BYTES_MAX
    bodies_per_origin: int = 4
    bytes_per_origin: int = 512 * 2**20
    bytes_total: int = 2 * 2**30


class BodyReceiver:
    """Incomplete bodies, by id.

    Args:
        body_id_of: Returns the id of a whole body (Rule P4).
        limits: Tells the bounds on memory in force.
        counters: Where refused packets and wrong bodies are counted.
    """

    def __init__(
        self,
        *,
        body_id_of: Callable[[bytes], bytes],
        limits: Callable[[], ReceiverLimits],
        counters: Counters,
    ) -> None:
        self._body_id_of = body_id_of
        self._limits = limits
        self._counters = counters
        self._partials: dict[bytes, PartialBody] = {}

    def expect(self, body_id: bytes, *, origin: int, total_bytes: int | None = None) -> bool:
        """Accept packets of this body from now on.

        Args:
            body_id: Id named by a verified header.
            origin: Member whose header announced it; the memory is on its account.
            total_bytes: Length, when the header implies it; packets of another length are refused.

        Returns:
            False if a bound of `ReceiverLimits` forbids it: pull it later.
        """
        known = self._partials.get(body_id)
        if known is not None:
            return True
        if total_bytes is not None and not 1 <= total_bytes <= self._limits().body_bytes:
            self._counters.add("body_size")
            return False
        bodies = sum(each.origin == origin for each in self._partials.values())
        if bodies >= self._limits().bodies_per_origin:
            self._counters.add("bodies_per_origin")
            return False
        self._partials[body_id] = PartialBody(origin=origin, total_bytes=total_bytes)
        return True

    def forget(self, body_id: bytes) -> None:
        """Stop accepting packets of this body and free its memory."""
        self._partials.pop(body_id, None)

    def is_expected(self, body_id: bytes) -> bool:
        """Return whether this body is being collected."""
        return body_id in self._partials

    def expected(self) -> tuple[bytes, ...]:
        """Return the ids that are being collected, ascending."""
        return tuple(sorted(self._partials))

    def accept(self, packet: BodyPacket, *, sender: int | None) -> Outcome:
        """Store the granules of a packet; each granule is taken from its first sender.

        Args:
            packet: A decoded packet.
            sender: Member that alone can have sent it; None for what was pushed.

        Returns:
            FULL once every granule is there (call `complete`); DUPLICATE if nothing was gained;
            SPOILT if something turned out wrong and is missing again.
        """
        partial = self._partials.get(packet.body_id)
        reason = self._refusal(partial, packet, sender)
        if partial is None or reason:
            self._counters.add(reason)
            return Outcome.REFUSED
        if not partial.content:
            # calloc: pages are committed only as packets fill them.
            partial.content = bytearray(packet.total_bytes)
        before, refused = (partial.leaves, partial.sound), len(partial.refused)
        is_right = self._learn_leaves(partial, packet)
        mask = ones(packet.count) << packet.first
        if not mask & ~partial.sound and packet.data:
            self._counters.add("packet_duplicate")
        elif partial.leaves:
            is_right = self._take_leaves(partial, packet, sender) and is_right
        elif partial.is_believed(sender):
            partial.fill(packet, mask & ~partial.present)
        if not is_right:
            self._blame(partial, {sender} if partial.only == sender else {None})
        if not is_right or len(partial.refused) > refused:
            return Outcome.SPOILT
        if (partial.leaves, partial.sound) != before:
            partial.senders.add(sender)
        elif not partial.is_full:
            return Outcome.DUPLICATE if partial.is_believed(sender) else Outcome.REFUSED
        return Outcome.FULL if partial.is_full else Outcome.STORED

    def _learn_leaves(self, partial: PartialBody, packet: BodyPacket) -> bool:
        """Take leaf hashes from anybody; return False if what is there does not fit them."""
        leaves = packet.leaves
        if packet.total_bytes <= LEAF_BYTES:
            # The id of a body of one leaf is the hash of that leaf.
            leaves = packet.body_id
        if not leaves or partial.leaves:
            return True
        hashes = [leaves[i : i + HASH_BYTES] for i in range(0, len(leaves), HASH_BYTES)]
        number = leaves_in(packet.total_bytes)
        if len(hashes) != number or root_of_hashes(hashes) != packet.body_id:
            self._counters.add("leaves_wrong")
            return True
        partial.leaves = leaves
        return self._are_leaves_right(partial, range(number))

    def _take_leaves(self, partial: PartialBody, packet: BodyPacket, sender: int | None) -> bool:
        """Take whole leaves from anybody, parts of leaves from whom to believe.

        Returns:
            False if a leaf that was put together from parts is wrong.
        """
        mask = ones(packet.count) << packet.first
        is_right = True
        first = packet.first // LEAF_GRANULES
        end = -(-(packet.first + packet.count) // LEAF_GRANULES)
        for index in range(first, end):
            whole = partial.leaf_mask(index)
            if not whole & ~partial.checked:
                continue
            if whole & ~mask:
                if partial.is_believed(sender):
                    partial.fill(packet, whole & mask & ~partial.present)
                    is_right &= self._are_leaves_right(partial, range(index, index + 1))
                continue
            start = index * LEAF_BYTES - packet.first * GRANULE_BYTES
            if partial.is_leaf(index, packet.data[start : start + LEAF_BYTES]):
                # It replaces whatever wrong granules came before it.
                partial.fill(packet, whole)
                partial.checked |= whole
            else:
                self._counters.add("leaf_wrong")
                if sender is not None:
                    self._blame(partial, {sender})
        return is_right

    def _are_leaves_right(self, partial: PartialBody, indices: range) -> bool:
        wrong = sum(not partial.check_leaf(index) for index in indices)
        if wrong:
            self._counters.add("leaf_wrong", wrong)
        return not wrong

    def _refusal(self, partial: PartialBody | None, packet: BodyPacket, sender: int | None) -> str:
        if partial is None:
            return "body_not_expected"
        if not (partial.leaves or packet.leaves or partial.is_believed(sender)):
            return "body_contested"
        if sender is not None and sender in partial.refused:
            return "sender_refused"
        if partial.total_bytes is None and not partial.present:
            # Nothing was kept of an earlier claim.
            partial.clear()
        length = len(partial.content) or partial.total_bytes or packet.total_bytes
        if packet.total_bytes != length:
            if partial.total_bytes is None:
                # Nothing says which length is the true one: from here on one sender at a time.
                self._blame(partial, {*partial.senders, sender})
            return "packet_total"
        if length > self._limits().body_bytes:
            return "body_size"
        return "" if partial.content else self._memory_refusal(partial.origin, length)

    def _memory_refusal(self, origin: int, length: int) -> str:
        sizes = [(each.origin, len(each.content)) for each in self._partials.values()]
        if sum(size for _, size in sizes) + length > self._limits().bytes_total:
            return "bytes_total"
        own = sum(size for each, size in sizes if each == origin)
        return "bytes_per_origin" if own + length > self._limits().bytes_per_origin else ""

    def missing(self, body_id: bytes) -> tuple[GranuleRange, ...]:
        """Return the first missing ranges, at most `RANGES_MAX`; empty means everything.

        `is_full` tells "nothing missing" from "everything missing".
        """
        partial = self._partials.get(body_id)
        if partial is None or not partial.content:
            return ()
        last = granules_in(len(partial.content))
        return runs(ones(last) & ~partial.sound, limit=RANGES_MAX)

    def is_full(self, body_id: bytes) -> bool:
        """Return whether every granule of the body has arrived."""
        partial = self._partials.get(body_id)
        return partial is not None and partial.is_full

    def content(self, body_id: bytes) -> memoryview:
        """Return the bytes of a full body, not yet checked and not copied.

        If they are right they no longer change, whatever becomes of the body here.

        Raises:
            RuntimeError: If it is not full.
        """
        partial = self._partials.get(body_id)
        if partial is None or not partial.is_full:
            raise RuntimeError(f"body {body_id.hex()[:8]} is not full")
        return memoryview(partial.content).toreadonly()

    def is_proven(self, body_id: bytes) -> bool:
        """Return whether every leaf of a full body was checked: no other check is needed then."""
        return self.is_full(body_id) and bool(self._partials[body_id].leaves)

    def complete(self, body_id: bytes) -> bytes | None:
        """Hash a full body; return it and forget it if its id is right, else None."""
        body = bytes(self.content(body_id))
        return body if self.settle(body_id, matches=self._body_id_of(body) == body_id) else None

    def settle(self, body_id: bytes, *, matches: bool) -> bool:
        """Forget a body that was checked, or discard a wrong one whole and start again."""
        partial = self._partials.get(body_id)
        if partial is None:
            return matches
        if matches:
            self.forget(body_id)
            return True
        self._counters.add("body_wrong")
        self._blame(partial, partial.senders)
        partial.clear()
        return False

    def restrict(self, body_id: bytes, *, sender: int) -> None:
        """Take a contested body from `sender` alone, the responder that is asked for it now."""
        partial = self._partials.get(body_id)
        if partial is None or not partial.contested or partial.only == sender:
            return
        partial.drop_unchecked()
        partial.only = sender

    def refused_senders(self, body_id: bytes) -> tuple[int, ...]:
        """Return the members that sent this body wrong, ascending: do not ask them again."""
        partial = self._partials.get(body_id)
        return () if partial is None else tuple(sorted(partial.refused))

    def is_contested(self, body_id: bytes) -> bool:
        """Return whether the body is taken from one sender at a time."""
        partial = self._partials.get(body_id)
        return partial is not None and partial.contested

    def _blame(self, partial: PartialBody, senders: set[int | None]) -> None:
        """Refuse the one sender that must have made what is wrong; else believe one at a time."""
        known = {each for each in senders if each is not None}
        if len(known) == len(senders) == 1:
            partial.refused |= known
            partial.only = None if partial.only in known else partial.only
            self._counters.add("bad_sender")
        else:
            partial.contested = True
        partial.drop_unchecked()
