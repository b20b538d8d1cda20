"""Which pull requests to answer: each once, and boundedly many bytes per requester (Rule P37).

Pure: time is an input. The caller has checked membership and signature before (Rule P3).
"""

from dataclasses import dataclass
from typing import Final

from fednode.wire.counters import Counters
from fednode.wire.packets import GRANULE_BYTES, GranuleRange, PullRequest, granules_in

REQUESTS_PER_BODY: Final = 4
"""A request counts as this part of the body at least: all of it is read and hashed for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """Bounds on what one requester may draw.

    Attributes:
        answer_bytes_max: Most that one request is answered with; the rest is asked for again.
        requester_bytes_max: Most that one requester gets within `window_ms`, where many requests
            for little of a large body count for more (`REQUESTS_PER_BODY`).
        window_ms: Length of that window in milliseconds.
    """

    answer_bytes_max: int = 16 * 2**20
    requester_bytes_max: int = 256 * 2**20
    window_ms: int = 10_000


@dataclass(slots=True)
class _Requester:
    counter: int
    window_start_ms: int
    answered_bytes: int = 0


class PullAnswerer:
    """Admits requests addressed to this node, before anything is read for them.

    Args:
        own_member: This node's number.
        limits: Bounds per requester.
        counters: Where refused requests are counted.
    """

    def __init__(self, *, own_member: int, limits: AnswerLimits, counters: Counters) -> None:
        self._own = own_member
        self._limits = limits
        self._counters = counters
        self._requesters: dict[int, _Requester] = {}

    def admitted(
        self, request: PullRequest, *, body_bytes: int, requester: int, now_ms: int
    ) -> tuple[GranuleRange, ...]:
        """Return the part of a body that answers a verified request, or nothing.

        Args:
            request: Names the wanted granules.
            body_bytes: Length of the body, which is held here.
            requester: Number of the member that signed the request.
            now_ms: Time on a monotonic clock.
        """
        if request.responder != self._own:
            self._counters.add("pull_for_another")
            return ()
        state = self._requesters.setdefault(
            requester, _Requester(counter=-1, window_start_ms=now_ms)
        )
        if request.counter <= state.counter:
            self._counters.add("pull_repeated")
            return ()
        state.counter = request.counter
        if now_ms - state.window_start_ms >= self._limits.window_ms:
            state.window_start_ms, state.answered_bytes = now_ms, 0
        room = self._limits.requester_bytes_max - state.answered_bytes
        ranges = _within(request, body_bytes, min(room, self._limits.answer_bytes_max))
        if not ranges:
            self._counters.add("pull_refused")
        else:
            granules = sum(each.count for each in ranges)
            cost = max(granules * GRANULE_BYTES, body_bytes // REQUESTS_PER_BODY)
            state.answered_bytes += cost
        return ranges


def _within(request: PullRequest, body_bytes: int, limit_bytes: int) -> tuple[GranuleRange, ...]:
    """Return the part of the request that exists and fits."""
    last = granules_in(body_bytes)
    room = max(0, limit_bytes // GRANULE_BYTES)
    kept: list[GranuleRange] = []
    for each in request.ranges or (GranuleRange(first=0, count=last),):
        count = min(each.count, last - each.first, room)
        if count <= 0:
            break
        kept.append(GranuleRange(first=each.first, count=count))
        room -= count
    return tuple(kept)
