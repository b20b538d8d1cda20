"""Scores, powers and contribution weights (rules P40 to P43)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.powers import cap, cap_budget, is_blocking
from ledger.reputation import (
    ABSENCE_WINDOW,
    ABSENCES_MAX,
    SCALE,
    Scores,
    capped_or_equal,
    contribution_weights,
    ema,
    initial_participation,
    participated,
    sample_clip,
    voting_powers,
)

scores = st.integers(0, SCALE)


def member(participation: int = SCALE // 2, absences: int = 0) -> Scores:
    return Scores(participation=participation, proposing=SCALE, quality=SCALE, absences=absences)


@given(scores, scores, st.sampled_from([8, 16]))
def test_ema_stays_between_score_and_target_and_moves_one_part_in_so_many(
    score: int, target: int, parts: int
) -> None:
    """Rule P40: `w <- w + alpha * (target - w)` rounded down."""
    moved = ema(score, target, 1, parts)

    assert moved == score + (target - score) // parts
    assert min(score, target) <= moved <= max(score, target)
    assert abs(moved - score) <= SCALE // parts


def test_ema_reaches_zero_in_93_steps_and_stops_just_below_the_full_mark() -> None:
    falling, steps = SCALE, 0
    while falling:
        falling, steps = ema(falling, 0, 1, 8), steps + 1
    rising = 0
    for _ in range(500):
        rising = ema(rising, SCALE, 1, 8)

    assert steps == 93
    assert rising == SCALE - 7


@pytest.mark.parametrize(
    ("samples", "clip"),
    [([], 0), ([0, 0], 0), ([5], 20), ([1, 3], 4), ([0, 10, 20, 30], 80), ([7, 1, 9, 8], 28)],
)
def test_clip_is_four_lower_medians_of_those_that_have_samples(
    samples: list[int], clip: int
) -> None:
    assert sample_clip(samples) == clip


def test_initial_participation_starts_at_half_and_adds_up_to_a_quarter() -> None:
    """Rule P43."""
    first = initial_participation([0, 100, 100, 100, 200, 400, 10**9])

    half, quarter = SCALE // 2, SCALE // 4
    assert first == (
        half,
        *[half + quarter // 4] * 3,
        half + quarter // 2,
        half + quarter,
        half + quarter,
    )
    assert initial_participation([0, 0]) == (half, half)


def test_presence_raises_participation_and_clears_a_bit_later() -> None:
    participation, absences = participated(member(absences=0b101), is_present=True)

    assert participation == ema(SCALE // 2, SCALE, 1, 16)
    assert absences == 0b1010


def test_sixteen_absences_of_32_cost_nothing_and_the_seventeenth_does() -> None:
    """Rule P40: a proposer that leaves COMMITs out cannot hurt anybody who is mostly there."""
    now = member()
    for _ in range(ABSENCES_MAX):
        participation, absences = participated(now, is_present=False)
        now = member(participation, absences)
    assert now.participation == SCALE // 2

    participation, absences = participated(now, is_present=False)

    assert participation == ema(SCALE // 2, 0, 1, 16)
    assert absences.bit_count() == 17


def test_presence_never_lowers_participation_however_often_a_member_was_absent() -> None:
    everywhere = (1 << ABSENCE_WINDOW) - 1

    participation, absences = participated(member(absences=everywhere), is_present=True)

    assert participation > SCALE // 2
    assert absences == everywhere - 1


@given(st.lists(scores, min_size=1, max_size=12), st.integers(0, 4))
def test_no_history_of_participation_breaks_the_bound_on_powers(
    participations: list[int], budget: int
) -> None:
    """Rule P41, unconditionally."""
    powers = voting_powers(participations, budget)

    heaviest = sum(sorted(powers)[-cap_budget(budget, len(powers)) :])
    if cap_budget(budget, len(powers)):
        assert not is_blocking(heaviest, sum(powers))
    else:
        assert set(powers) == {1}
    assert min(powers) >= 1


def test_voting_power_has_a_floor_of_half() -> None:
    """Rule P41: two absent of seven must not make all powers equal to 1."""
    powers = voting_powers([SCALE] * 5 + [0] * 2, 2)

    assert powers[-1] == SCALE // 2
    assert powers[0] > SCALE // 2


def test_contribution_weights_follow_samples_and_quality_up_to_the_clip() -> None:
    """Rule P42 without a trainer budget: no cap."""
    weights = contribution_weights(
        [100, 200, 10_000, 3], [SCALE, SCALE // 2, SCALE, 0], [0] * 4, clip=400, trainer_budget=0
    )

    assert weights == (100, 100, 400, 1)


def test_each_training_round_of_lateness_takes_its_share_and_something_is_left() -> None:
    """Rules P10 and P42: divided by one more than the staleness, rounded down, at least 1."""
    weights = contribution_weights(
        [100, 100, 100, 1],
        [SCALE, SCALE, SCALE // 2, SCALE],
        [0, 1, 2, 8],
        clip=400,
        trainer_budget=0,
    )

    assert weights == (100, 50, 16, 1)


def test_contribution_weights_are_capped_over_those_that_are_included() -> None:
    """Rule P42: `min(b_t, (m - 1) // 3)` of the included stay below a third."""
    raw = [10, 10, 10, 100]

    weights = contribution_weights(raw, [SCALE] * 4, [0] * 4, clip=1000, trainer_budget=5)

    assert weights == cap(raw, 1)


def test_contribution_weights_are_equal_where_a_budget_meets_too_few_updates() -> None:
    weights = contribution_weights([10, 20, 90], [SCALE] * 3, [0] * 3, clip=1000, trainer_budget=1)

    assert weights == (1, 1, 1)


def test_no_weights_for_no_updates() -> None:
    assert contribution_weights([], [], [], clip=1, trainer_budget=0) == ()


@given(
    st.lists(st.tuples(st.integers(1, 2**32 - 1), scores), min_size=4, max_size=9),
    st.integers(1, 3),
)
def test_no_budget_of_included_trainers_has_a_third_of_the_weight(
    trainers: list[tuple[int, int]], budget: int
) -> None:
    samples, qualities = zip(*trainers, strict=True)

    weights = contribution_weights(
        samples, qualities, [0] * len(samples), clip=sample_clip(samples), trainer_budget=budget
    )

    effective = cap_budget(budget, len(trainers))
    assert not is_blocking(sum(sorted(weights)[-effective:]), sum(weights))
    assert 1 <= min(weights) <= max(weights) < 2**32


def test_powers_are_equal_where_there_is_no_budget() -> None:
    assert capped_or_equal([5, 9, 100, 4], 0) == (1, 1, 1, 1)
    assert capped_or_equal([5, 9, 100], 1) == (1, 1, 1)
