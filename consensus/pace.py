"""The waits of views, adapted to latencies seen here; local, never consensus data (rule P36).

For each wait and proposer a node remembers how long what it waited for took when it came: a peak
that later, shorter latencies lower little by little. Twice that is the wait, within bounds:

1. Only view 0 waits less than the contract says, and never less than a part of that. So whatever
   made a wait too short, view 1 waits at least as long as without adaption.
2. A wait is longer than the contract says only as far as a blocking power of proposers needs it,
   and never longer than the contract's cap. So liars, being fewer, cannot lift it alone.
3. A wait that ran out lifts a latency no further than to the contract's wait.
"""

from typing import Final

from consensus.effects import TimerKind
from consensus.timeouts import grown_ms
from ledger.genesis import Timeouts
from ledger.powers import ValidatorSet, is_blocking

FLOOR_PARTS: Final = 4
"""A wait is at least the contract's, divided by this."""
MARGIN: Final = 2
"""How many times the latency that is remembered a wait is."""
DECAY: Final = 4
"""A shorter latency lowers what is remembered by the difference, divided by this."""


def contract_ms(timeouts: Timeouts, kind: TimerKind) -> int:
    """Return what the contract says of a wait for a proposal or for votes, in view 0."""
    waits = {
        TimerKind.PROPOSE: timeouts.propose_ms,
        TimerKind.PREPARE: timeouts.prepare_ms,
        TimerKind.COMMIT: timeouts.commit_ms,
    }
    return waits[kind]


def remembered_ms(peak_ms: int, latency_ms: int) -> int:
    """Return what is remembered after one more latency: at once more, only slowly less.

    It stays between the least and the greatest latency, and grows with each of them.

    Examples:
        >>> [remembered_ms(100, latency_ms) for latency_ms in (20, 100, 300)]
        [80, 100, 300]

    References:
        In place of the smoothed mean and deviation of RFC 6298, section 2, where a latency that is
        much shorter than the mean makes the timeout longer.
    """
    return max(latency_ms, peak_ms - -(-(peak_ms - latency_ms) // DECAY))


def adapted_ms(agreed_ms: int, *, peak_ms: int, common_ms: int, cap_ms: int) -> int:
    """Return the base of a wait by what is remembered.

    Args:
        agreed_ms: What the contract says.
        peak_ms: What is remembered of this proposer.
        common_ms: The most that is remembered of a blocking power of proposers, each by itself.
        cap_ms: Longest wait; a longer one of the contract stays as it is.

    Returns:
        Milliseconds, from `agreed_ms / FLOOR_PARTS` to `max(agreed_ms, cap_ms)`.
    """
    floor_ms = -(-agreed_ms // FLOOR_PARTS)
    ceiling_ms = max(agreed_ms, min(MARGIN * common_ms, cap_ms))
    return min(max(MARGIN * peak_ms, floor_ms), ceiling_ms)


class Pace:
    """What this node remembers of latencies since it started.

    Measured are, by the own clock: from the start of the wait for a proposal to the own PREPARE for
    its block, from there to the own COMMIT for it, and from there to the decision.
    """

    def __init__(self, timeouts: Timeouts, validators: ValidatorSet) -> None:
        self._peaks: dict[TimerKind, dict[int, int]] = {}
        self.begin_height(timeouts, validators)

    def begin_height(self, timeouts: Timeouts, validators: ValidatorSet) -> None:
        """Take over what is in force at a height; forget what was begun at the one before."""
        self._timeouts = timeouts
        self._validators = validators
        self._begun: dict[TimerKind, tuple[int, int]] = {}

    def begin(self, kind: TimerKind, view: int, now_ms: int) -> None:
        """Measure from now until something came or its wait ran out."""
        self._begun[kind] = view, now_ms

    def came(self, kind: TimerKind, view: int, proposer: int, now_ms: int) -> None:
        """Remember how long something took in the view of a proposer."""
        elapsed_ms = self._end(kind, view, now_ms)
        if elapsed_ms is not None:
            self._remember(kind, proposer, min(elapsed_ms, self._timeouts.view_max_ms))

    def ran_out(self, kind: TimerKind, view: int, proposer: int, now_ms: int) -> None:
        """Remember that something took longer than its wait.

        So the next wait is about twice as long, as RFC 6298 has it (5.5), up to the contract's.
        """
        elapsed_ms = self._end(kind, view, now_ms)
        if elapsed_ms is not None:
            longest_ms = -(-contract_ms(self._timeouts, kind) // MARGIN)
            self._remember(kind, proposer, min(elapsed_ms, longest_ms))

    def wait_ms(self, kind: TimerKind, view: int, proposer: int) -> int:
        """Return how long to wait in a view: from its base, by half more with each view."""
        agreed_ms = contract_ms(self._timeouts, kind)
        cap_ms = self._timeouts.view_max_ms
        base_ms = agreed_ms
        peak_ms = self._peaks.get(kind, {}).get(proposer)
        if peak_ms is not None:
            common_ms = self._common_ms(kind)
            base_ms = adapted_ms(agreed_ms, peak_ms=peak_ms, common_ms=common_ms, cap_ms=cap_ms)
        return base_ms if view == 0 else grown_ms(max(base_ms, agreed_ms), view, cap_ms)

    def _end(self, kind: TimerKind, view: int, now_ms: int) -> int | None:
        """Return how long ago something began, None if it did not; clocks may be set back."""
        begun = self._begun.pop(kind, None)
        return None if begun is None or begun[0] != view else max(now_ms - begun[1], 0)

    def _remember(self, kind: TimerKind, proposer: int, latency_ms: int) -> None:
        peaks = self._peaks.setdefault(kind, {})
        peaks[proposer] = remembered_ms(peaks.get(proposer, latency_ms), latency_ms)

    def _common_ms(self, kind: TimerKind) -> int:
        """Return the most that a blocking power of proposers takes, 0 where too few are known."""
        peaks, power = self._peaks[kind], 0
        for proposer in sorted(peaks, key=peaks.__getitem__, reverse=True):
            power += self._validators.power_of(proposer)
            if is_blocking(power, self._validators.total):
                return peaks[proposer]
        return 0
