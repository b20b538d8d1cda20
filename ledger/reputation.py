"""Integer scores of members, and what follows from them: powers and weights (rules P40-P43)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.encoding import U32
from ledger.powers import cap, cap_budget
from ledger.slots import slotted

SCALE: Final = 2**20
"""The full mark of every score."""
PARTICIPATION_RATE: Final = 16
PROPOSING_RATE: Final = 8
QUALITY_RATE: Final = 8
"""One part in so many of the way to its target is what a score moves per block."""
ABSENCE_WINDOW: Final = 32
ABSENCES_MAX: Final = 16
"""More absences than this in the window lower participation; fewer may be a proposer's malice."""
CLIP_MEDIANS: Final = 4
_WINDOW_MASK: Final = (1 << ABSENCE_WINDOW) - 1


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The three scores of a member, from 0 to `SCALE`, and its absences.

    `absences` has a bit for each of the last 32 blocks whose certificate could have held the
    member's COMMIT, newest lowest; a set bit is an absence.
    """

    participation: U32
    proposing: U32
    quality: U32
    absences: U32


NO_SCORES: Final = Scores(participation=0, proposing=0, quality=0, absences=0)
"""Those of a number whose member is not admitted yet."""


def first_scores(participation: int, former: Sequence[Scores] = ()) -> Scores:
    """Return the scores of a member at its admission (rule P43).

    Args:
        participation: Its initial participation, from sample counts.
        former: Scores of the same organisation under earlier numbers; it gains nothing by leaving.
    """
    return Scores(
        participation=min([participation, *(each.participation for each in former)]),
        proposing=min([SCALE, *(each.proposing for each in former)]),
        quality=min([SCALE, *(each.quality for each in former)]),
        absences=0,
    )


def ema(score: int, target: int, numerator: int, denominator: int) -> int:
    """Return `score` moved `numerator/denominator` of the way to `target`, rounded down.

    Stays between 0 and `SCALE` when both are; falls to exactly 0, rises to
    `target - ceil(denominator / numerator) + 1`.
    """
    return ((denominator - numerator) * score + numerator * target) // denominator


def sample_clip(samples: Sequence[int]) -> int:
    """Return the sample count beyond which more samples count no more: 4 lower medians.

    The median is over the members that have samples; 0 if none has.
    """
    positive = sorted(count for count in samples if count > 0)
    return CLIP_MEDIANS * positive[(len(positive) - 1) // 2] if positive else 0


def initial_participation(samples: Sequence[int]) -> tuple[int, ...]:
    """Return each member's first participation from the sample counts (rule P43).

    From `SCALE / 2` without samples to `3 * SCALE / 4` at four lower medians, so that a member
    that lies about its samples gains at most a quarter of the scale, and safety loses nothing.
    """
    clip = max(1, sample_clip(samples))
    return tuple(SCALE // 2 + SCALE // 4 * min(count, clip) // clip for count in samples)


def participated(scores: Scores, *, is_present: bool) -> tuple[int, int]:
    """Return (participation, absences) after one certificate (rule P40).

    A proposer chooses which late COMMITs a certificate holds, hence a single absence costs
    nothing; only one that is absent in most of the window loses.
    """
    absences = (scores.absences << 1 | (not is_present)) & _WINDOW_MASK
    if is_present:
        return ema(scores.participation, SCALE, 1, PARTICIPATION_RATE), absences
    if absences.bit_count() > ABSENCES_MAX:
        return ema(scores.participation, 0, 1, PARTICIPATION_RATE), absences
    return scores.participation, absences


def voting_powers(participations: Sequence[int], byzantine_budget: int) -> tuple[int, ...]:
    """Return the capped voting powers of validators from their participation (rule P41)."""
    raw = [SCALE // 2 + participation // 2 for participation in participations]
    return capped_or_equal(raw, byzantine_budget)


def capped_or_equal(raw: Sequence[int], budget: int) -> tuple[int, ...]:
    """Return `raw` capped for `budget`, or all ones where no cap could hold anybody down."""
    effective = cap_budget(budget, len(raw))
    return cap(raw, effective) if effective > 0 else (1,) * len(raw)


def contribution_weights(
    samples: Sequence[int],
    qualities: Sequence[int],
    lateness: Sequence[int],
    *,
    clip: int,
    trainer_budget: int,
) -> tuple[int, ...]:
    """Return the integer weights of included updates in the aggregate (rule P42).

    Args:
        samples: Sample counts of the included trainers, from the contract.
        qualities: Their quality scores before this block.
        lateness: Training rounds by which their bases are behind; each takes its share.
        clip: `sample_clip` of the contract.
        trainer_budget: Trainers that may lie; 0 means that nothing is capped.
    """
    each = zip(samples, qualities, lateness, strict=True)
    raw = [
        max(1, min(count, clip) * quality // SCALE // (1 + late)) for count, quality, late in each
    ]
    return capped_or_equal(raw, trainer_budget) if trainer_budget else tuple(raw)
