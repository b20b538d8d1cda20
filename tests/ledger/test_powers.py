"""Quorum tests and the cap against dumb twins (rule P41)."""

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.powers import (
    Validator,
    ValidatorSet,
    cap,
    cap_budget,
    is_blocking,
    is_quorum,
    validators_hash,
)

Scores = list[int]


def scores_and_budget(largest: int = 40) -> st.SearchStrategy[tuple[Scores, int]]:
    def with_budget(scores: Scores) -> st.SearchStrategy[tuple[Scores, int]]:
        return st.tuples(st.just(scores), st.integers(0, (len(scores) - 1) // 3))

    return st.lists(st.integers(1, largest), min_size=1, max_size=9).flatmap(with_budget)


def top(powers: Sequence[int], budget: int) -> int:
    """The heaviest `budget` members, found by trying every subset."""
    return max(sum(chosen) for chosen in combinations(powers, budget))


def validator_set(powers: Sequence[int]) -> ValidatorSet:
    return ValidatorSet(
        validators=tuple(Validator(member=2 * i, power=power) for i, power in enumerate(powers))
    )


@given(scores_and_budget())
def test_cap_is_the_largest_ceiling_that_brute_force_over_all_ceilings_and_subsets_finds(
    case: tuple[Scores, int],
) -> None:
    """Rule P41."""
    scores, budget = case
    ceilings = [
        c
        for c in range(1, max(scores) + 1)
        if 3 * top([min(s, c) for s in scores], budget) < sum(min(s, c) for s in scores)
    ]

    assert cap(scores, budget) == tuple(min(s, max(ceilings)) for s in scores)


@given(scores_and_budget(largest=2**40))
def test_no_subset_within_the_budget_has_a_third_of_capped_power(case: tuple[Scores, int]) -> None:
    scores, budget = case

    powers = cap(scores, budget)

    assert all(not is_blocking(sum(some), sum(powers)) for some in combinations(powers, budget))
    assert all(1 <= power <= score for power, score in zip(powers, scores, strict=True))


@given(scores_and_budget(largest=1000))
def test_two_quorums_of_capped_powers_share_more_than_any_budget_of_members(
    case: tuple[Scores, int],
) -> None:
    scores, budget = case
    powers = cap(scores, budget)
    n, total = len(powers), sum(powers)
    # Only quorums from which no member can be taken matter: the others contain them.
    quorums = {
        chosen
        for chosen in range(1 << n)
        if is_quorum(sum(p for i, p in enumerate(powers) if chosen >> i & 1), total)
    }
    smallest = [
        q for q in quorums if not any(q >> i & 1 and q - (1 << i) in quorums for i in range(n))
    ][:40]

    shared = [
        sum(p for i, p in enumerate(powers) if (one & other) >> i & 1)
        for one in smallest
        for other in smallest
    ]

    assert 3 * min(shared) > total
    assert min(shared) > top(powers, budget)


def test_cap_of_known_cases() -> None:
    assert cap([10, 10, 10, 100], 1) == (10, 10, 10, 14)
    assert cap([10, 10, 10, 10], 1) == (10, 10, 10, 10)
    assert cap([1, 2, 3], 0) == (1, 2, 3)
    assert cap([3, 3, 3, 9, 9, 9, 9], 2) == (3, 3, 3, 4, 4, 4, 4)


@pytest.mark.parametrize(("scores", "budget"), [([1, 1, 1], 1), ([], 0), ([1, 1, 1, 1], -1)])
def test_cap_refuses_a_budget_that_no_cap_can_hold(scores: Scores, budget: int) -> None:
    with pytest.raises(ValueError, match=r"expected 0 <= 3 \* budget"):
        cap(scores, budget)


def test_cap_refuses_a_score_of_zero() -> None:
    with pytest.raises(ValueError, match="expected positive scores, got 0"):
        cap([3, 0, 3, 3], 1)


@pytest.mark.parametrize(
    ("power", "total", "quorum", "blocking"),
    [
        (2, 3, False, True),
        (3, 3, True, True),
        (1, 3, False, True),
        (3, 4, True, True),
        (2, 4, False, True),
        (1, 4, False, False),
        (66, 99, False, True),
        (67, 99, True, True),
        (33, 99, False, True),
        (32, 99, False, False),
        (0, 0, False, True),
    ],
)
def test_quorum_is_more_than_two_thirds_and_blocking_a_third_or_more(
    power: int, total: int, *, quorum: bool, blocking: bool
) -> None:
    assert (is_quorum(power, total), is_blocking(power, total)) == (quorum, blocking)


@given(st.integers(0, 200), st.integers(1, 200))
def test_a_quorum_exists_without_exactly_those_that_are_not_blocking(part: int, total: int) -> None:
    part = min(part, total)

    assert is_quorum(total - part, total) is not is_blocking(part, total)


@pytest.mark.parametrize(("count", "most"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (10, 3)])
def test_cap_budget_is_at_most_a_third(count: int, most: int) -> None:
    assert cap_budget(100, count) == most
    assert cap_budget(0, count) == 0


def test_validator_set_answers_by_member_number_and_knows_strangers() -> None:
    validators = validator_set([5, 7, 9])

    assert validators.members == (0, 2, 4)
    assert validators.total == 21
    assert [validators.power_of(member) for member in range(6)] == [5, 0, 7, 0, 9, 0]
    assert [validators.position_of(member) for member in range(3)] == [0, None, 1]
    assert validators.has_quorum(15)
    assert not validators.has_quorum(14)
    assert validators.is_blocked_by(7)
    assert not validators.is_blocked_by(6)


def test_validator_set_reads_back_and_its_hash_covers_every_power() -> None:
    validators = validator_set([5, 7, 9])

    assert decode(ValidatorSet, encode(validators)) == validators
    keys = [bytes([each]) * 32 for each in range(1 + max(validators.members))]
    first = validators.members[0]
    own = validators_hash(validators, keys)
    assert own != validators_hash(validator_set([5, 7, 8]), keys)
    assert own != validators_hash(validators, dict(enumerate(keys)) | {first: bytes([255]) * 32})
    assert own == validators_hash(validators, dict(enumerate(keys)))


def test_validator_set_refuses_members_out_of_order() -> None:
    with pytest.raises(DecodeError, match="strictly ascending"):
        ValidatorSet(
            validators=(Validator(member=1, power=1), Validator(member=1, power=1)),
        )
