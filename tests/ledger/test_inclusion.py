"""Inclusion is not the proposer's choice (rules P12, P12a, P15)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.genesis import Role
from ledger.inclusion import (
    disqualification,
    empty_view,
    expected_kind,
    has_have_quorum,
    included,
    need,
    opens_for_training,
    vouched,
    vouched_headers,
)
from ledger.keys import Signed, sign
from ledger.powers import Validator, ValidatorSet, cap
from ledger.records import BlockKind, HaveEntry, HaveList, UpdateHeader
from ledger.state import initial_state
from tests.support.ledger import (
    contract,
    digest,
    have,
    stub_chain,
    stub_keys,
    update,
    with_roles,
)

TERMS = contract(4)
STATE = initial_state(TERMS)
KEYS = stub_keys(TERMS)
UPDATES = tuple(update(TERMS, STATE, trainer, KEYS[trainer]) for trainer in range(4))


def haves(*held: Sequence[int]) -> tuple[Signed[HaveList], ...]:
    """One HAVE per validator, listing the updates of these trainers."""
    return tuple(
        have(STATE, i, KEYS[i], [UPDATES[trainer] for trainer in listed])
        for i, listed in enumerate(held)
    )


def trainers(updates: Sequence[Signed[UpdateHeader]]) -> list[int]:
    return [each.statement.trainer for each in updates]


def changed(trainer: int, **fields: object) -> Signed[UpdateHeader]:
    header = replace(UPDATES[trainer].statement, **fields)  # type: ignore[arg-type]  # by name
    return sign(header, KEYS[trainer], signer=trainer, chain_id=STATE.chain_id)


def test_what_two_of_four_list_is_included_and_what_one_lists_is_not() -> None:
    listed = haves([0, 1], [1], [1, 2], [3])

    assert trainers(included(TERMS, STATE, listed, UPDATES)) == [1]


def test_a_list_of_a_member_without_power_counts_nothing() -> None:
    strangers = ValidatorSet(
        validators=(Validator(member=0, power=5), Validator(member=1, power=1))
    )

    keys = vouched(haves([0], [1], [1], [1]), strangers)

    assert [trainer for trainer, _ in keys] == [0]


def test_a_have_that_is_carried_several_times_counts_once_towards_the_quorum() -> None:
    listed = haves([0], [0], [0])

    assert has_have_quorum(listed, STATE.validators)
    assert not has_have_quorum((listed[0], listed[1], listed[0], listed[0]), STATE.validators)


Case = tuple[list[int], int, list[list[int]]]


@st.composite
def networks(draw: st.DrawFn) -> Case:
    """Powers within the cap, a budget, and for each update the validators that list it."""
    raw = draw(st.lists(st.integers(1, 60), min_size=4, max_size=7))
    budget = draw(st.integers(1, (len(raw) - 1) // 3))
    subsets = st.lists(st.sampled_from(range(len(raw))), unique=True)
    return list(cap(raw, budget)), budget, draw(st.lists(subsets, min_size=1, max_size=4))


def listing(powers: Sequence[int], q: Sequence[int], holders: Sequence[Sequence[int]]) -> set[int]:
    """Which updates blocking power lists when exactly the validators in `q` are carried."""
    validators = ValidatorSet(
        validators=tuple(Validator(member=i, power=power) for i, power in enumerate(powers))
    )
    lists = tuple(
        Signed(
            statement=HaveList(
                height=1,
                entries=tuple(
                    HaveEntry(trainer=trainer, header_digest=digest(f"{trainer}"))
                    for trainer, who in enumerate(holders)
                    if member in who
                ),
            ),
            signer=member,
            signature=bytes(64),
        )
        for member in q
    )
    return {trainer for trainer, _ in vouched(lists, validators)}


def quorums(powers: Sequence[int]) -> list[tuple[int, ...]]:
    n = len(powers)
    return [
        q
        for size in range(n + 1)
        for q in combinations(range(n), size)
        if 3 * sum(powers[i] for i in q) > 2 * sum(powers)
    ]


@given(networks())
def test_theorem_a_an_update_that_every_honest_validator_lists_is_in_whatever_the_proposer_picks(
    case: Case,
) -> None:
    """Rule P12: the adversary chooses who is Byzantine, what those list, and Q."""
    powers, budget, _ = case
    n = len(powers)

    for byzantine in combinations(range(n), budget):
        honest = [i for i in range(n) if i not in byzantine]
        assert all(listing(powers, q, [honest]) == {0} for q in quorums(powers))


@given(networks())
def test_theorem_b_every_update_that_is_in_was_listed_by_an_honest_validator(case: Case) -> None:
    """Rule P12: whoever is Byzantine, somebody honest has the body to pull."""
    powers, budget, holders = case
    n = len(powers)

    listed = {trainer for q in quorums(powers) for trainer in listing(powers, q, holders)}

    for byzantine in combinations(range(n), budget):
        assert all(set(holders[trainer]) - set(byzantine) for trainer in listed)


def test_only_vouched_headers_are_carried_ascending_whatever_the_pool_holds() -> None:
    pool = (UPDATES[3], UPDATES[1], UPDATES[0], changed(1, releases=2))
    listed = haves([1, 3], [1, 3], [0], [])

    assert vouched_headers(STATE, listed, pool) == (UPDATES[1], UPDATES[3])


def test_a_trainer_with_two_vouched_headers_is_left_out() -> None:
    """Rule P12a: it signed two updates for one height; both headers stay in the block."""
    second = changed(1, update_id=digest("second body"))
    listed = (
        *haves([0, 1], [0, 1]),
        have(STATE, 2, KEYS[2], [UPDATES[0], second]),
        have(STATE, 3, KEYS[3], [UPDATES[0], second]),
    )
    pool = (*UPDATES, second)

    assert trainers(vouched_headers(STATE, listed, pool)) == [0, 1, 1]
    assert trainers(included(TERMS, STATE, listed, pool)) == [0]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trainer": 4}, "member 4 is no trainer"),
        ({"height": 2}, "for height 2, expected 1"),
        ({"height": 0}, "for height 0, expected 1"),
        ({"training_round": 0}, "for training round 0, expected 1"),
        ({"base_model_id": digest("old")}, "trained from another model"),
        ({"n_elements": 7}, "7 elements, expected 8"),
    ],
)
def test_each_disqualification_names_its_reason(fields: dict[str, object], reason: str) -> None:
    """Rule P12a."""
    header = replace(UPDATES[2].statement, **fields)  # type: ignore[arg-type]  # by name

    text = disqualification(TERMS, STATE, header)

    assert text is not None
    assert reason in text
    assert disqualification(TERMS, STATE, UPDATES[2].statement) is None


def test_a_member_without_the_role_is_no_trainer() -> None:
    terms = with_roles(TERMS, {2: Role.VALIDATOR})

    assert disqualification(terms, STATE, UPDATES[2].statement) == "member 2 is no trainer"


def test_a_body_that_was_included_in_the_last_two_training_blocks_cannot_return() -> None:
    made = stub_chain(3)
    header = update(made.contract, made.state, 1, made.keys[1]).statement
    bodies = [
        next(u for u in b.updates if u.statement.trainer == 1).statement.update_id
        for b in made.blocks
    ]

    reasons = [
        disqualification(made.contract, made.state, replace(header, update_id=each))
        for each in bodies
    ]

    assert reasons == [None, *["the same body was included before"] * 2]


def test_two_trainers_that_name_one_body_both_count() -> None:
    """Rule P12a: else whoever copies an id could shut out the trainer whose body it is."""
    copy = changed(0, update_id=UPDATES[1].statement.update_id)
    pool = (copy, *UPDATES[1:])
    listed = tuple(have(STATE, i, KEYS[i], pool) for i in range(4))

    assert trainers(included(TERMS, STATE, listed, pool)) == [0, 1, 2, 3]


def test_a_body_that_was_counted_for_another_does_not_shut_its_trainer_out() -> None:
    """Rule P12a: it was copied, and the update of its trainer came a height later."""
    made = stub_chain(1)
    body = made.blocks[0].updates[0].statement.update_id
    own, copied = (
        replace(update(made.contract, made.state, each, made.keys[each]).statement, update_id=body)
        for each in (1, 0)
    )

    assert disqualification(made.contract, made.state, own) is None
    assert (
        disqualification(made.contract, made.state, copied) == "the same body was included before"
    )


def test_a_filtered_header_does_not_keep_the_others_out() -> None:
    """Rule P12a: a filter, never a reason for an invalid block."""
    wrong = changed(1, training_round=9)
    pool = (UPDATES[0], wrong, UPDATES[2], UPDATES[3])
    listed = tuple(have(STATE, i, KEYS[i], pool) for i in range(4))

    assert trainers(vouched_headers(STATE, listed, pool)) == [0, 1, 2, 3]
    assert trainers(included(TERMS, STATE, listed, pool)) == [0, 2, 3]


@pytest.mark.parametrize(
    ("min_updates", "trainer_budget", "expected"), [(1, 0, 1), (1, 1, 3), (4, 1, 4), (2, 2, 5)]
)
def test_need_is_the_minimum_or_a_majority_over_liars(
    min_updates: int, trainer_budget: int, expected: int
) -> None:
    """Rule P15."""
    terms = replace(TERMS, min_updates=min_updates, trainer_budget=trainer_budget)

    assert need(terms, STATE) == expected


def test_a_height_opens_while_training_rounds_are_left_and_trainers_enough() -> None:
    """Rule P15."""
    last = replace(TERMS, training_rounds=1)
    after = replace(STATE, training_round=1)
    few = with_roles(TERMS, {0: Role.VALIDATOR, 1: Role.VALIDATOR})

    assert opens_for_training(last, STATE)
    assert not opens_for_training(last, after)
    assert opens_for_training(TERMS, after)
    assert not opens_for_training(few, STATE)


@pytest.mark.parametrize(("budget", "view"), [(0, 4), (1, 4), (3, 4), (4, 5), (9, 10)])
def test_empty_is_the_only_fresh_block_from_view_four_or_beyond_the_budget(
    budget: int, view: int
) -> None:
    """Rule P15 (b)."""
    assert empty_view(replace(TERMS, byzantine_budget=budget)) == view


@pytest.mark.parametrize(
    ("view", "listed", "kind"),
    [
        (0, [0, 1, 2], BlockKind.AGGREGATE),
        (3, [0, 1, 2, 3], BlockKind.AGGREGATE),
        (0, [0, 1], BlockKind.EMPTY),
        (0, [], BlockKind.EMPTY),
        (4, [0, 1, 2, 3], BlockKind.EMPTY),
    ],
)
def test_kind_follows_from_view_and_what_is_included(
    view: int, listed: list[int], kind: BlockKind
) -> None:
    """Rule P15: need is 3 here."""
    assert expected_kind(TERMS, STATE, view, haves(*[listed] * 4), UPDATES) is kind
