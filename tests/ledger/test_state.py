"""The state after a block (rules P40, P50 to P52)."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.building import with_outcome
from ledger.election import schedule
from ledger.encoding import decode, encode
from ledger.genesis import STALENESS_MAX, Role, chain_id
from ledger.merkle import EMPTY_ROOT, CompactRange, root
from ledger.powers import ValidatorSet, is_blocking
from ledger.records import BlockKind, block_id
from ledger.reputation import SCALE, ema
from ledger.state import State, apply, block_time, initial_state, state_root
from tests.support.feedback import reports, with_feedback
from tests.support.ledger import (
    Chain,
    certify,
    contract,
    digest,
    empty_chain,
    stub_chain,
    stub_keys,
    with_roles,
)


def fresh(n: int = 4, budget: int | None = None) -> Chain:
    terms = contract(n, byzantine_budget=budget)
    return empty_chain(terms, stub_keys(terms))


def test_initial_state_stands_before_block_one() -> None:
    terms = contract(4, samples=[100, 100, 100, 1000])

    state = initial_state(terms)

    assert (state.height, state.time_ms, state.training_round) == (0, 0, 0)
    assert state.chain_id == state.tip_id == chain_id(terms)
    assert state.model_id == state.best.model_id == terms.model.initial_model_id
    assert state.optimizer_id == EMPTY_ROOT
    assert [each.quality for each in state.scores] == [SCALE] * 4
    assert [each.proposing for each in state.scores] == [SCALE] * 4
    assert state.scores[3].participation > state.scores[0].participation > SCALE // 2
    assert state.validators.members == (0, 1, 2, 3)
    assert state.previous_validators.members == ()


def test_an_aggregate_block_counts_a_training_round_and_an_empty_one_does_not() -> None:
    """Rule P15."""
    made = fresh()

    for trainers in (range(4), [0], [], range(4)):
        made.add(made.build(trainers=trainers))

    kinds = [block.header.kind for block in made.blocks]
    assert kinds == [BlockKind.AGGREGATE, BlockKind.EMPTY, BlockKind.EMPTY, BlockKind.AGGREGATE]
    assert [block.header.training_round for block in made.blocks] == [1, 1, 1, 2]
    assert [state.training_round for state in made.states] == [0, 1, 1, 1, 2]
    assert [state.empties_in_row for state in made.states] == [0, 0, 1, 2, 0]
    assert made.states[1].model_id == made.states[3].model_id != made.states[4].model_id


def test_state_remembers_the_last_two_training_blocks() -> None:
    """Rules P11 and P12a."""
    made = fresh()
    for trainers in (range(4), [0, 1, 2], [0], [1, 2, 3]):
        made.add(made.build(trainers=trainers))

    recent = made.state.recent_training

    assert [(each.height, each.trainers) for each in recent] == [(2, (0, 1, 2)), (4, (1, 2, 3))]
    assert recent[1].update_ids == tuple(
        each.statement.update_id for each in made.blocks[3].updates
    )


def test_log_root_covers_all_earlier_blocks_but_not_the_own() -> None:
    """Rules P50 and P55."""
    made = stub_chain(30)
    ids = [block_id(block.header) for block in made.blocks]

    assert [block.header.log_root for block in made.blocks] == [root(ids[:h]) for h in range(30)]


def test_state_root_covers_every_field_but_the_id_of_its_own_block() -> None:
    """Rule P52."""
    state = stub_chain(3, of=with_feedback(contract(4), range(4))).state
    others: dict[str, object] = {
        "best": replace(state.best, height=1),
        "judged": state.judged[1:],
        "earlier_models": (),
        "recent_training": state.recent_training[:1],
        "scores": (replace(state.scores[0], absences=5), *state.scores[1:]),
        "banned": (2,),
        "membership": replace(state.membership, changed=3),
        "recent_ids": (digest("block"),),
        "validators": ValidatorSet(validators=state.validators.validators[1:]),
        "previous_validators": ValidatorSet(validators=()),
        "log": CompactRange(size=1, hashes=(digest("leaf"),)),
    }
    covered = {}
    for field in fields(State):
        value = getattr(state, field.name)
        other = value + 1 if isinstance(value, int) else digest("other")
        changed = replace(state, **{field.name: others.get(field.name, other)})  # type: ignore[arg-type]  # by name
        covered[field.name] = state_root(changed) != state_root(state)

    assert [name for name, is_covered in covered.items() if not is_covered] == ["tip_id"]


def test_state_reads_back() -> None:
    made = stub_chain(3, of=with_feedback(contract(4), range(4)))
    made.add(made.build(metrics=reports(made, {0: -5, 3: 5})))
    state = made.state

    assert decode(State, encode(state)) == state


def test_views_that_passed_cost_their_proposers_and_the_creator_gains() -> None:
    """Rule P40, proposing."""
    made = fresh(7)
    made.add(made.build())
    before = made.state
    order = schedule(made.contract, before)
    made.add(made.build(view=2))

    after = made.state

    start = [each.proposing for each in before.scores]
    expected = {order[0]: 0, order[1]: 0, order[2]: SCALE}
    assert [each.proposing for each in after.scores] == [
        ema(start[i], expected[i], 1, 8) if i in expected else start[i] for i in range(7)
    ]


def test_the_creators_full_mark_wins_over_its_own_passed_view() -> None:
    """Rule P40: each member is scored once per block."""
    made = fresh()
    before = made.state
    creator = schedule(made.contract, before)[1]
    made.add(made.build(view=5))

    proposing = [each.proposing for each in made.state.scores]

    assert made.blocks[0].header.proposer == creator
    assert proposing == [ema(SCALE, SCALE if i == creator else 0, 1, 8) for i in range(4)]


def test_block_one_scores_no_participation() -> None:
    made = fresh()
    made.add(made.build(), signing=[0, 1, 2])

    assert [each.participation for each in made.states[1].scores] == [
        each.participation for each in made.states[0].scores
    ]


def test_participation_follows_the_last_certificate_one_block_later() -> None:
    """Rules P40 and P51."""
    made = fresh()
    made.add(made.build(), signing=[0, 1, 2])
    made.add(made.build())

    before, after = made.states[1].scores, made.states[2].scores

    assert [each.absences for each in after] == [0, 0, 0, 1]
    assert [each.participation for each in after] == [
        *[ema(each.participation, SCALE, 1, 16) for each in before[:3]],
        before[3].participation,
    ]


def test_participation_is_that_of_the_set_that_could_sign_not_of_the_next_one() -> None:
    """Everything of height h is judged by the validators of height h."""
    made = fresh()
    for _ in range(2):
        made.add(made.build())
    last, *others = made.state.previous_validators.validators[::-1]
    fewer = ValidatorSet(validators=tuple(others[::-1]))
    state = replace(made.state, previous_validators=fewer)
    certificate = certify(made.blocks[1], fewer, {i: made.keys[i] for i in (0, 1, 2)})
    block = replace(made.build(), last_certificate=(certificate,))

    scores = apply(made.contract, state, block).scores

    assert [each.absences for each in scores] == [0] * 4
    assert scores[last.member].participation == state.scores[last.member].participation
    assert scores[0].participation == ema(state.scores[0].participation, SCALE, 1, 16)


def test_signers_are_named_by_their_places_in_the_set_that_signed() -> None:
    made = fresh()
    for _ in range(2):
        made.add(made.build())
    later = ValidatorSet(validators=made.state.previous_validators.validators[1:])
    state = replace(made.state, previous_validators=later)
    certificate = certify(made.blocks[1], later, {i: made.keys[i] for i in (1, 2, 3)})
    block = replace(made.build(), last_certificate=(certificate,))

    scores = apply(made.contract, state, block).scores

    raised = [
        after.participation > before.participation
        for before, after in zip(state.scores, scores, strict=True)
    ]
    assert raised == [False, True, True, True]


def test_a_validator_that_stays_away_loses_power_but_never_below_half_and_the_bound_holds() -> None:
    """Rules P40 and P41."""
    made = fresh(7, budget=1)
    for _ in range(80):
        made.add(made.build(), signing=range(6))

    powers = [each.power for each in made.state.validators.validators]
    first = [each.power for each in made.states[17].validators.validators]

    assert made.states[18].scores[6].participation < made.states[17].scores[6].participation
    assert made.states[17].scores[6].participation == made.states[0].scores[6].participation
    assert powers[6] < first[6]
    assert SCALE // 2 <= powers[6] < min(powers[:6])
    assert all(
        not is_blocking(max(v.power for v in state.validators.validators), state.validators.total)
        for state in made.states
    )


def test_quality_rises_for_included_falls_for_outliers_and_rests_for_the_absent() -> None:
    """Rule P40, quality."""
    made = fresh()
    made.add(made.build(trainers=[0, 1, 2], outliers=[1]))
    made.add(made.build(trainers=[0, 1, 2], outliers=[0]))

    quality = [each.quality for each in made.state.scores]

    down = ema(SCALE, 0, 1, 8)
    assert quality == [down, ema(down, SCALE, 1, 8), SCALE, SCALE]


def test_a_member_without_a_role_keeps_the_scores_of_that_role() -> None:
    terms = with_roles(contract(5), {0: Role.VALIDATOR, 4: Role.TRAINER})
    made = empty_chain(terms, stub_keys(terms))
    for _ in range(4):
        made.add(made.build(view=1))

    first, last = made.states[0].scores, made.state.scores

    assert made.state.validators.members == (0, 1, 2, 3)
    assert last[0].quality == first[0].quality
    assert (last[4].participation, last[4].proposing) == (first[4].participation, SCALE)
    assert last[4].absences == 0


def test_a_certificate_changes_powers_from_the_block_after_the_one_that_carries_it() -> None:
    """Rule P51: the set of h+1 is fixed by block h, hence no circularity."""
    some, every = fresh(7, budget=1), fresh(7, budget=1)
    for made, signing in ((some, range(5)), (every, range(7))):
        made.add(made.build(), signing=signing)
        made.add(made.build())

    assert some.states[1].validators == every.states[1].validators
    assert some.states[2].previous_validators == some.states[1].validators
    assert some.states[2].validators != every.states[2].validators


def test_apply_is_a_function_of_its_arguments_and_changes_none() -> None:
    made = stub_chain(5)
    before = [encode(state) for state in made.states]

    again = [
        apply(made.contract, state, block)
        for state, block in zip(made.states, made.blocks, strict=False)
    ]

    assert again == made.states[1:]
    assert [encode(state) for state in made.states] == before


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**64 - 1))
def test_apply_never_fails_on_numbers_that_fit_their_fields(
    view: int, proposer: int, time_ms: int
) -> None:
    made = fresh()
    block = made.build()
    header = replace(block.header, created_view=view, proposer=proposer, time_ms=time_ms)

    sealed = with_outcome(made.contract, made.state, replace(block, header=header))

    after = apply(made.contract, made.state, sealed)
    assert sealed.header.state_root == state_root(after)
    assert after.time_ms == time_ms


def test_apply_never_fails_on_terms_that_no_block_may_bring() -> None:
    """An audit goes on after them and reports all that is wrong later, too (rules P52, P54)."""
    made = stub_chain(2 * STALENESS_MAX, of=replace(contract(), max_staleness=255))

    assert len(made.state.earlier_models) == STALENESS_MAX
    assert len(made.state.recent_training) == STALENESS_MAX


@pytest.mark.parametrize(("clock", "time"), [(0, 5001), (5000, 5001), (5001, 5001), (9000, 9000)])
def test_block_time_is_the_clock_but_later_than_the_parent(clock: int, time: int) -> None:
    """Rule P14."""
    state = stub_chain(5).state

    assert block_time(state, clock) == time
