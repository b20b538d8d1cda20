"""Whom to ask for what is missing of a body, and what to answer (Rule P91). Pure: time is an input.

A body is pushed once. What did not arrive is pulled, first from its trainer, then in turn from the
holders named in HAVEs; at least one of them is honest (Theorem B of Rule P12). Every wait has a
name and a bound (Rule P93).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fednode.wire.packets import (
    BODY_BYTES_MAX,
    GRANULE_BYTES,
    GRANULES_MAX,
    GranuleRange,
    PullRequest,
    granules_in,
)

WHOLE_BODY = (GranuleRange(first=0, count=GRANULES_MAX),)

ROOM_WAIT_MS = 50
"""Until the next look whether there is room for a request, or a key for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """Waits in milliseconds and sizes in bytes.

    Attributes:
        push_grace_ms: Silence on a pushed body before the first request.
        busy_grace_ms: The same while packets of other bodies arrive: then it waits in the queue.
            And how long packets that may be anybody's put off what is due, once a block needs the
            body or somebody was asked: a member that lets packets drip delays no more than that.
        answer_timeout_ms: Silence after a request before the next responder is asked.
        backoff_max_ms: Longest wait for an answer; it doubles each time all responders failed.
        request_bytes_max: Most that one request asks for.
        outstanding_bytes_max: Most that all unanswered requests together ask for, and at most
            `request_bytes_max` of it from one member; a request for which there is no room waits
            `ROOM_WAIT_MS`. After `answer_timeout_ms` of silence a request no longer counts, so
            that members who never answer cannot keep others from being asked.
    """

    push_grace_ms: int = 1_000
    busy_grace_ms: int = 5_000
    answer_timeout_ms: int = 2_000
    backoff_max_ms: int = 30_000
    request_bytes_max: int = 16 * 2**20
    outstanding_bytes_max: int = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What the receiver lacks of one body; no ranges means that nothing arrived yet.

    Attributes:
        ranges: From `BodyReceiver.missing`.
        refused: Members that are not to be asked, from `BodyReceiver.refused_senders`.
    """

    ranges: tuple[GranuleRange, ...] = ()
    refused: tuple[int, ...] = ()


@dataclass(slots=True)
class _Want:
    height: int
    responders: list[int]
    due_ms: int
    heard_ms: int  # when something of it last arrived, or when it was first wanted
    waits_for_push: bool
    turn: int = 0  # requests without an answer; chooses the responder
    missing: Missing = field(default_factory=Missing)
    whole: tuple[GranuleRange, ...] = WHOLE_BODY
    push_end_ms: int | None = None  # since a block needs it: no longer put off than that
    asked: int | None = None
    asked_ms: int = 0
    asked_bytes: int = 0
    silent_ms: int = 0  # when silence makes the bytes asked for count no longer
    asked_ranges: tuple[GranuleRange, ...] = ()

    def has_mostly_come(self) -> bool:
        """Return whether at least half of what was asked for arrived."""
        if self.asked is None:
            return False
        lacking = _overlap(self.asked_ranges, self.missing.ranges or self.whole)
        return 2 * lacking <= sum(each.count for each in self.asked_ranges)

    def release(self, now_ms: int) -> None:
        self.asked, self.asked_bytes, self.due_ms = None, 0, now_ms


class PullPlanner:
    """Decides which requests to send at a given time.

    Args:
        own_member: This node's number; it never asks itself.
        limits: Waits and sizes.
        first_counter: Above every counter used before a restart (`Ledger.first_counter`).
        can_read: Whether a member's keys are here; what others send does not open (rule P90).
    """

    def __init__(
        self,
        *,
        own_member: int,
        limits: PullLimits,
        first_counter: int,
        can_read: Callable[[int], bool],
    ) -> None:
        self._own = own_member
        self._can_read = can_read
        self._limits = limits
        self._counter = first_counter
        self._wants: dict[bytes, _Want] = {}

    def want(
        self,
        body_id: bytes,
        *,
        height: int,
        responders: Sequence[int],
        now_ms: int,
        is_pushed: bool = True,
        total_bytes: int = BODY_BYTES_MAX,
    ) -> None:
        """Start to watch a body that is expected, or learn of more members that hold it.

        Args:
            body_id: Id of the body.
            height: Height for which it is needed.
            responders: Members to ask in this order: its trainer, then holders.
            now_ms: Time on a monotonic clock.
            is_pushed: Whether packets may come by themselves; otherwise it is asked for at once.
            total_bytes: Its length, as far as it is known.
        """
        want = self._wants.get(body_id)
        if want is None:
            due_ms = now_ms + (self._limits.push_grace_ms if is_pushed else 0)
            whole = (GranuleRange(first=0, count=granules_in(total_bytes)),)
            want = _Want(
                height=height,
                responders=[],
                due_ms=due_ms,
                heard_ms=now_ms,
                waits_for_push=is_pushed,
                whole=whole,
            )
            self._wants[body_id] = want
        elif want.waits_for_push and not is_pushed:
            want.waits_for_push = False
            want.push_end_ms = now_ms + self._limits.busy_grace_ms
        want.height = max(want.height, height)
        for member in responders:
            if member != self._own and member not in want.responders:
                want.responders.append(member)

    def done(self, body_id: bytes) -> None:
        """Stop watching a body that is complete or no longer needed."""
        self._wants.pop(body_id, None)

    def progress(
        self, body_id: bytes, missing: Missing, *, now_ms: int, sender: int | None = None
    ) -> None:
        """Note that packets of a body arrived, or that it was discarded as wrong.

        Args:
            body_id: Id of the body.
            missing: What lacks now.
            now_ms: Time on the same clock.
            sender: Member whose answer it was, None if anybody can have sent it.
        """
        want = self._wants.get(body_id)
        if want is None or missing == want.missing:
            # Packets that bring nothing must not put off the next request.
            return
        want.heard_ms = now_ms
        self._put_off_others(now_ms)
        if want.asked in missing.refused:
            # The responder sent wrong bytes: ask the next one at once.
            want.release(now_ms)
        elif want.asked is None:
            want.due_ms = now_ms + self._limits.push_grace_ms
            if want.push_end_ms is not None:
                want.due_ms = min(want.due_ms, want.push_end_ms)
        else:
            want.due_ms = now_ms + self._limits.answer_timeout_ms
            if sender != want.asked:
                want.due_ms = min(want.due_ms, want.asked_ms + self._limits.busy_grace_ms)
            want.silent_ms = want.due_ms
            want.asked_bytes = min(want.asked_bytes, _size(missing.ranges or want.whole))
            asked_end = want.asked_ranges[-1].first + want.asked_ranges[-1].count
            if missing.ranges and missing.ranges[0].first >= asked_end:
                # The request is served: the same responder is asked for the rest at once.
                want.release(now_ms)
                want.turn -= 1
        want.missing = missing

    def due(self, now_ms: int) -> tuple[PullRequest, ...]:
        """Return the requests to sign and send now, for the body wanted first first."""
        requests = []
        for body_id, want in self._wants.items():
            if want.due_ms > now_ms:
                continue
            if want.has_mostly_come():
                # Losses, not a silent responder. Half each time ends soon, so nobody can dawdle.
                want.turn -= 1
            want.release(now_ms)
            request = self._request(body_id, want, now_ms)
            if request is not None:
                requests.append(request)
        return tuple(requests)

    def next_due_ms(self) -> int | None:
        """Return when `due` is to be called next, or None if nothing is wanted."""
        return min((want.due_ms for want in self._wants.values()), default=None)

    def asked(self, body_id: bytes) -> int | None:
        """Return the member that is being asked for a body, if any."""
        want = self._wants.get(body_id)
        return None if want is None else want.asked

    def _put_off_others(self, now_ms: int) -> None:
        """Bodies that are pushed at the same time share the line: the silence of one is no loss."""
        for each in self._wants.values():
            if each.waits_for_push and each.due_ms > now_ms:
                patience_ms = each.heard_ms + self._limits.busy_grace_ms
                due_ms = min(now_ms + self._limits.push_grace_ms, patience_ms)
                each.due_ms = max(each.due_ms, due_ms)

    def _request(self, body_id: bytes, want: _Want, now_ms: int) -> PullRequest | None:
        limits = self._limits
        able = [
            each
            for each in want.responders
            if each not in want.missing.refused and self._can_read(each)
        ]
        rounds = want.turn // max(1, len(able))
        wait_ms = min(limits.answer_timeout_ms << min(rounds, 16), limits.backoff_max_ms)
        want.due_ms = now_ms + wait_ms
        if not able:
            if len(want.missing.refused) < len(want.responders):
                want.due_ms = now_ms + ROOM_WAIT_MS
            return None
        responder = able[want.turn % len(able)]
        ranges = _first_bytes(want.missing.ranges or want.whole, self._room(responder, now_ms))
        if not ranges:
            want.due_ms = now_ms + ROOM_WAIT_MS
            return None
        want.asked, want.asked_ms = responder, now_ms
        want.asked_bytes = _size(ranges)
        want.asked_ranges = ranges
        want.silent_ms = now_ms + limits.answer_timeout_ms
        want.turn += 1
        self._counter += 1
        return PullRequest(
            height=want.height,
            responder=responder,
            counter=self._counter,
            body_id=body_id,
            ranges=ranges,
        )

    def _room(self, responder: int, now_ms: int) -> int:
        """Return how many bytes may be asked for, and of this member (Rule P37)."""
        open_wants = [each for each in self._wants.values() if each.silent_ms > now_ms]
        total = sum(each.asked_bytes for each in open_wants)
        own = sum(each.asked_bytes for each in open_wants if each.asked == responder)
        limits = self._limits
        return min(limits.request_bytes_max - own, limits.outstanding_bytes_max - total)


def _size(ranges: tuple[GranuleRange, ...]) -> int:
    return sum(each.count for each in ranges) * GRANULE_BYTES


def _overlap(some: tuple[GranuleRange, ...], others: tuple[GranuleRange, ...]) -> int:
    """Return how many granules are in both."""
    return sum(
        max(0, min(a.first + a.count, b.first + b.count) - max(a.first, b.first))
        for a in some
        for b in others
    )


def _first_bytes(ranges: tuple[GranuleRange, ...], limit_bytes: int) -> tuple[GranuleRange, ...]:
    room = limit_bytes // GRANULE_BYTES
    kept = []
    for each in ranges:
        if room <= 0:
            break
        kept.append(GranuleRange(first=each.first, count=min(each.count, room)))
        room -= each.count
    return tuple(kept)
