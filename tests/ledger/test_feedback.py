"""Rule P16: what a quorum prefers becomes the best model, what it regrets is left again."""

import random
from dataclasses import replace

import pytest

from ledger.feedback import BestModel, hold_out_powers, metrics_problem, weighted_median
from ledger.genesis import Role
from ledger.inclusion import disqualification, opens_for_feedback
from ledger.metrics import PATIENCE_MAX
from ledger.records import BlockKind
from ledger.state import apply
from ledger.validity import check_block
from tests.support.evidence import proof
from tests.support.feedback import (
    FEEDBACK,
    add_judged,
    judging_network,
    report,
    reports,
    with_feedback,
)
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    digest,
    stub_chain,
    update,
    with_roles,
)

TOLERANCE, PATIENCE = FEEDBACK.tolerance, FEEDBACK.patience
WORSE = -TOLERANCE - 1


def best_height(made: Chain) -> int:
    return made.state.best.height


def test_the_initial_model_is_the_best_until_a_quorum_prefers_another() -> None:
    made = judging_network()

    assert made.state.best == BestModel(
        height=0,
        model_id=made.contract.model.initial_model_id,
        optimizer_id=made.state.optimizer_id,
    )
    assert made.state.judged[-1].best_id == made.contract.model.initial_model_id


@pytest.mark.parametrize(
    ("values", "height"),
    [
        ({0: 1, 1: 1, 2: 1, 3: 1}, 1),
        ({0: 1, 1: 1, 2: 1, 3: -(10**9)}, 1),
        ({0: 1, 1: 1, 2: 1}, 1),
        ({0: 1, 1: 1, 2: 0, 3: 0}, 0),
        ({0: 1, 1: 1}, 0),
        ({0: 10**9, 1: 10**9, 2: -1, 3: -1}, 0),
        ({0: 0, 1: 0, 2: 0, 3: 0}, 0),
        ({}, 0),
    ],
)
def test_a_model_that_a_quorum_prefers_by_its_own_figures_becomes_the_best(
    values: dict[int, int], height: int
) -> None:
    made = judging_network()

    add_judged(made, values)

    assert best_height(made) == height
    assert made.state.best.model_id == (
        digest("model 1") if height else made.contract.model.initial_model_id
    )
    assert made.state.model_id == digest("model 2")


def test_figures_of_several_blocks_count_together() -> None:
    made = judging_network()
    model = made.state.judged[-1]
    for member in (0, 1, 2):
        assert best_height(made) == 0
        made.add(made.build(metrics=(report(made, member, value=5, model=model),)))

    assert best_height(made) == 1


def test_the_next_models_are_compared_with_the_new_best() -> None:
    made = judging_network()

    add_judged(made, dict.fromkeys(range(4), 5))

    assert made.state.judged[-1].best_id == digest("model 1")


def test_models_regretted_in_a_row_return_the_base_to_the_best_with_its_optimizer() -> None:
    made = judging_network()
    made.states[-1] = replace(made.state, optimizer_id=digest("optimizer of the best"))
    made.add(made.build())
    add_judged(made, dict.fromkeys(range(4), 7))
    best = made.state.best
    assert (best.height, best.optimizer_id) == (2, digest("optimizer of the best"))
    made.states[-1] = replace(made.state, optimizer_id=digest("optimizer of what follows"))
    for _ in range(PATIENCE - 1):
        add_judged(made, dict.fromkeys(range(4), WORSE))
        assert made.state.model_id == digest(f"model {made.state.height}")

    add_judged(made, dict.fromkeys(range(4), WORSE))

    assert made.blocks[-1].header.kind is BlockKind.AGGREGATE
    assert made.blocks[-1].header.results.model_id == digest(f"model {made.state.height}")
    assert (made.state.model_id, made.state.optimizer_id) == (best.model_id, best.optimizer_id)
    assert (made.state.best, made.state.judged, made.state.returns) == (best, (), 1)


def test_training_goes_on_from_the_best_after_a_return() -> None:
    made = judging_network()
    while not made.state.returns:
        add_judged(made, dict.fromkeys(range(4), WORSE))
    training_round = made.state.training_round
    old = update(made.contract, made.states[-2], 0, made.keys[0]).statement
    moved = replace(
        old,
        height=old.height + 1,
        training_round=old.training_round + 1,
        update_id=digest("trained on the model that is regretted"),
    )

    late = replace(moved, training_round=old.training_round)

    problem = disqualification(made.contract, made.state, moved)
    too_late = disqualification(made.contract, made.state, late)
    made.add(made.build())

    # A return empties the window for late updates (rule P10).
    assert too_late == f"for training round {training_round}, expected {training_round + 1}"
    assert problem == "trained from another model than that of its training round"
    assert made.blocks[-1].header.base_model_id == made.contract.model.initial_model_id
    assert made.state.training_round == training_round + 1


def test_the_base_returns_also_by_an_empty_block() -> None:
    made = judging_network(patience=1)

    add_judged(made, dict.fromkeys(range(4), WORSE), trainers=[])

    assert made.blocks[-1].header.kind is BlockKind.EMPTY
    assert made.blocks[-1].header.results.model_id == digest("model 1")
    assert made.state.model_id == made.contract.model.initial_model_id


@pytest.mark.parametrize("break_at", range(PATIENCE))
def test_one_model_that_is_not_regretted_breaks_the_row(break_at: int) -> None:
    made = judging_network()
    for number in range(PATIENCE):
        add_judged(made, dict.fromkeys(range(4), -TOLERANCE if number == break_at else WORSE))

    assert made.state.returns == 0


def test_figures_that_come_as_late_as_they_may_still_complete_a_row() -> None:
    made = judging_network()
    for _ in range(PATIENCE + 1):
        made.add(made.build())
    for _ in range(PATIENCE):
        assert made.state.returns == 0
        model = made.state.judged[-PATIENCE]
        late = tuple(report(made, each, value=WORSE, model=model) for each in range(4))
        block = made.build(metrics=late)
        assert check_block(made.contract, made.state, block, scheme=STUB_SCHEME) == ()
        made.add(block)

    assert made.state.returns == 1


def test_models_before_the_best_are_not_regretted() -> None:
    """The best is better than what came before it, by much: that is no reason to return to it."""
    made = judging_network()
    for _ in range(PATIENCE):
        add_judged(made, dict.fromkeys(range(4), 0))
    add_judged(made, dict.fromkeys(range(4), 10**9))

    for _ in range(PATIENCE):
        add_judged(made, dict.fromkeys(range(4), 0))

    assert (best_height(made), made.state.returns) == (PATIENCE + 1, 0)


def test_a_member_that_compared_with_an_older_best_is_asked_by_its_own_figures() -> None:
    """Figures of the last two models come together: the newer one is compared with the older."""
    made = judging_network(blocks=2)
    first, second = made.state.judged
    assert first.best_id == second.best_id == made.contract.model.initial_model_id

    values = {first: 50, second: 40}
    made.add(
        made.build(
            metrics=tuple(
                report(made, member, value=value, model=model)
                for model, value in values.items()
                for member in range(4)
            )
        )
    )

    assert best_height(made) == 1


def test_one_member_among_unlike_sites_cannot_force_a_return() -> None:
    """With a power-weighted median of levels one member forced 101 returns in 400 heights.

    Three sites of very different levels are content; the fourth says whatever it likes.
    """
    made = judging_network(patience=1)
    for number in range(400):
        honest = {member: 10**6 * member + number for member in range(3)}
        base = {member: 10**6 * member + number - 1 for member in range(3)}
        metrics = [
            report(made, member, value=honest[member], best_value=base[member])
            for member in range(3)
        ]
        metrics.append(report(made, 3, value=-(10**12), best_value=10**12))
        made.add(made.build(metrics=tuple(metrics)))

    assert made.state.returns == 0
    assert best_height(made) == 400


def test_two_of_four_cannot_force_a_return_and_three_can() -> None:
    for liars, returns in ((2, 0), (3, 1)):
        made = judging_network()
        for _ in range(PATIENCE):
            add_judged(made, {member: WORSE if member < liars else 0 for member in range(4)})
        assert made.state.returns == returns


def test_a_validator_without_data_has_no_say_and_no_weight() -> None:
    """Its power is no part of what a quorum is measured against."""
    roles = {0: Role.VALIDATOR, 4: Role.TRAINER}
    terms = with_roles(with_feedback(contract(5, samples=[100] * 5), range(1, 4)), roles)
    made = stub_chain(1, of=terms)

    powers = hold_out_powers(terms, made.state.validators)
    assert sorted(powers) == [1, 2, 3]
    for member in (0, 4):
        problem = metrics_problem(terms, made.state, report(made, member, value=5))
        assert problem == f"member {member} is no validator with a hold-out at this height"
    add_judged(made, {1: 5, 2: 5, 3: 5})

    assert best_height(made) == 1


def test_a_member_that_the_same_block_bans_no_longer_counts() -> None:
    made = judging_network(7)
    block = made.build(
        metrics=reports(made, dict.fromkeys(range(5), 5)), evidence=(proof(made, 0), proof(made, 1))
    )

    made.add(block)

    # Three of the five that are left are no quorum.
    assert best_height(made) == 0


def test_without_feedback_nothing_is_judged() -> None:
    made = stub_chain(3)

    assert made.state.judged == ()
    assert not opens_for_feedback(made.contract, made.state)


@pytest.mark.parametrize("patience", [1, 3, PATIENCE_MAX])
def test_so_many_models_are_kept_as_a_row_may_need(patience: int) -> None:
    made = judging_network(blocks=40, patience=patience)

    assert len(made.state.judged) == 2 * patience - 1
    heights = [each.height for each in made.state.judged]
    assert heights == list(range(40 - len(heights) + 1, 41))


def test_the_weighted_median_is_the_least_value_that_half_the_power_reaches() -> None:
    rng = random.Random(16)
    for _ in range(2_000):
        powers = {member: rng.randint(1, 5) for member in range(rng.randint(1, 7))}
        values = {member: rng.randint(-9, 9) for member in powers}
        unrolled = sorted(values[member] for member in powers for _ in range(2 * powers[member]))

        assert weighted_median(values, powers) == unrolled[len(unrolled) // 2 - 1]
    assert weighted_median({4: 1}, {0: 1}) is None


def test_a_newer_model_is_preferred_to_the_one_that_just_became_best_by_own_figures() -> None:
    """Both were compared with the initial model; a member's figure of the first one is its own."""
    made = judging_network(blocks=2)
    first, second = made.state.judged

    made.add(
        made.build(
            metrics=tuple(
                report(made, member, value=value, model=model)
                for model, value in ((first, 50), (second, 60))
                for member in range(4)
            )
        )
    )

    assert best_height(made) == 2


def test_who_judged_the_best_only_as_the_best_is_asked_by_that_figure() -> None:
    """Members 0 and 1 judged model 1 itself; member 3 met it as what model 3 is compared with."""
    made = judging_network(blocks=2)
    first, second = made.state.judged
    made.add(
        made.build(metrics=tuple(report(made, each, value=50, model=first) for each in range(3)))
    )
    third = made.state.judged[-1]
    late = [report(made, each, value=60, model=second) for each in (0, 1, 3)]
    newest = report(made, 3, value=0, best_value=50, model=third)

    before = made.state.best.height
    without = apply(made.contract, made.state, made.build(metrics=tuple(late)))
    made.add(made.build(metrics=(*late, newest)))

    assert (before, third.best_id) == (1, first.model_id)
    assert without.best.height == 1
    assert best_height(made) == 2


def test_a_block_without_metrics_moves_nothing_although_its_evidence_makes_a_quorum() -> None:
    """Three of seven prefer the model; three of the four that are left would be enough."""
    made = judging_network(7)
    made.add(made.build(metrics=reports(made, dict.fromkeys(range(3), 5))))
    accused = tuple(proof(made, each) for each in (4, 5, 6))
    newest = report(made, 0, value=0)

    silent = apply(made.contract, made.state, made.build(evidence=accused))
    speaking = apply(made.contract, made.state, made.build(evidence=accused, metrics=(newest,)))

    assert silent.best.height == 0
    assert speaking.best.height == 1
