"""Rule P16: what a quorum prefers becomes the best model, what it regrets is left again."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ledger.feedback import (
    BestModel,
    hold_out_powers,
    metrics_problem,
    repetition_problem,
    weighted_median,
)
from ledger.genesis import Role
from ledger.inclusion import disqualification, opens, opens_for_feedback, opens_for_training
from ledger.metrics import PATIENCE_MAX
from ledger.records import BlockKind
from ledger.state import State
from ledger.validity import check_block
from tests.support.evidence import proof
from tests.support.feedback import FEEDBACK, report, reports, with_feedback
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


def network(n: int = 4, *, blocks: int = 1, rounds: int = 1_000, patience: int = 3) -> Chain:
    """Members that all judge models, with equal powers."""
    terms = contract(n, samples=[100] * n, training_rounds=rounds)
    return stub_chain(blocks, of=with_feedback(terms, range(n), patience=patience))


def add(made: Chain, values: Mapping[int, int], **options: object) -> None:
    """A valid block with what members say about the newest model."""
    block = made.build(metrics=reports(made, values), **options)  # type: ignore[arg-type]  # by name
    found = check_block(made.contract, made.state, block, scheme=STUB_SCHEME)
    assert [each.text for each in found] == []
    made.add(block)


def best_height(made: Chain) -> int:
    return made.state.best.height


def test_the_initial_model_is_the_best_until_a_quorum_prefers_another() -> None:
    made = network()

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
    made = network()

    add(made, values)

    assert best_height(made) == height
    assert made.state.best.model_id == (
        digest("model 1") if height else made.contract.model.initial_model_id
    )
    assert made.state.model_id == digest("model 2")


def test_figures_of_several_blocks_count_together() -> None:
    made = network()
    model = made.state.judged[-1]
    for member in (0, 1, 2):
        assert best_height(made) == 0
        made.add(made.build(metrics=(report(made, member, value=5, model=model),)))

    assert best_height(made) == 1


def test_the_next_models_are_compared_with_the_new_best() -> None:
    made = network()

    add(made, dict.fromkeys(range(4), 5))

    assert made.state.judged[-1].best_id == digest("model 1")


def test_models_regretted_in_a_row_return_the_base_to_the_best_with_its_optimizer() -> None:
    made = network()
    made.states[-1] = replace(made.state, optimizer_id=digest("optimizer of the best"))
    made.add(made.build())
    add(made, dict.fromkeys(range(4), 7))
    best = made.state.best
    assert (best.height, best.optimizer_id) == (2, digest("optimizer of the best"))
    made.states[-1] = replace(made.state, optimizer_id=digest("optimizer of what follows"))
    for _ in range(PATIENCE - 1):
        add(made, dict.fromkeys(range(4), WORSE))
        assert made.state.model_id == digest(f"model {made.state.height}")

    add(made, dict.fromkeys(range(4), WORSE))

    assert made.blocks[-1].header.kind is BlockKind.AGGREGATE
    assert made.blocks[-1].header.results.model_id == digest(f"model {made.state.height}")
    assert (made.state.model_id, made.state.optimizer_id) == (best.model_id, best.optimizer_id)
    assert (made.state.best, made.state.judged, made.state.returns) == (best, (), 1)


def test_training_goes_on_from_the_best_after_a_return() -> None:
    made = network()
    while not made.state.returns:
        add(made, dict.fromkeys(range(4), WORSE))
    training_round = made.state.training_round
    old = update(made.contract, made.states[-2], 0, made.keys[0]).statement
    moved = replace(
        old,
        height=old.height + 1,
        training_round=old.training_round + 1,
        update_id=digest("trained on the model that is regretted"),
    )

    problem = disqualification(made.contract, made.state, moved)
    made.add(made.build())

    assert problem == "trained from another model than the current one"
    assert made.blocks[-1].header.base_model_id == made.contract.model.initial_model_id
    assert made.state.training_round == training_round + 1


def test_the_base_returns_also_by_an_empty_block() -> None:
    made = network(patience=1)

    add(made, dict.fromkeys(range(4), WORSE), trainers=[])

    assert made.blocks[-1].header.kind is BlockKind.EMPTY
    assert made.blocks[-1].header.results.model_id == digest("model 1")
    assert made.state.model_id == made.contract.model.initial_model_id


@pytest.mark.parametrize("break_at", range(PATIENCE))
def test_one_model_that_is_not_regretted_breaks_the_row(break_at: int) -> None:
    made = network()
    for number in range(PATIENCE):
        add(made, dict.fromkeys(range(4), -TOLERANCE if number == break_at else WORSE))

    assert made.state.returns == 0


def test_figures_that_come_as_late_as_they_may_still_complete_a_row() -> None:
    made = network()
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
    made = network()
    for _ in range(PATIENCE):
        add(made, dict.fromkeys(range(4), 0))
    add(made, dict.fromkeys(range(4), 10**9))

    for _ in range(PATIENCE):
        add(made, dict.fromkeys(range(4), 0))

    assert (best_height(made), made.state.returns) == (PATIENCE + 1, 0)


def test_a_member_that_compared_with_an_older_best_is_asked_by_its_own_figures() -> None:
    """Figures of the last two models come together: the newer one is compared with the older."""
    made = network(blocks=2)
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
    made = network(patience=1)
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
        made = network()
        for _ in range(PATIENCE):
            add(made, {member: WORSE if member < liars else 0 for member in range(4)})
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
    add(made, {1: 5, 2: 5, 3: 5})

    assert best_height(made) == 1


def test_a_member_that_the_same_block_bans_no_longer_counts() -> None:
    made = network(7)
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
    made = network(blocks=40, patience=patience)

    assert len(made.state.judged) == 2 * patience - 1
    heights = [each.height for each in made.state.judged]
    assert heights == list(range(40 - len(heights) + 1, 41))


def test_one_height_closes_training_for_the_figures_of_the_last_model() -> None:
    """Rule P15."""
    made = network(blocks=2, rounds=2)
    assert opens_for_feedback(made.contract, made.state)
    assert not opens_for_training(made.contract, made.state)

    add(made, dict.fromkeys(range(4), 5))

    assert made.blocks[-1].header.kind is BlockKind.EMPTY
    assert made.blocks[-1].header.results.model_id == digest("model 2")
    assert best_height(made) == 2
    assert not opens(made.contract, made.state)


def test_the_closing_height_ends_also_without_figures() -> None:
    for options in ({}, {"view": 4}, {"view": 9}):
        made = network(blocks=2, rounds=2)
        add(made, {}, **options)
        assert (made.blocks[-1].header.kind, made.blocks[-1].header.created_view) == (
            BlockKind.EMPTY,
            options.get("view", 0),
        )
        assert not opens(made.contract, made.state)


def test_no_update_counts_in_the_closing_height() -> None:
    made = network(blocks=2, rounds=2)

    header = update(made.contract, made.state, 0, made.keys[0]).statement

    assert disqualification(made.contract, made.state, header) == "training round 2 was the last"


def test_a_chain_that_ends_with_a_return_needs_no_closing_height() -> None:
    made = network(rounds=PATIENCE + 1)
    for _ in range(PATIENCE):
        add(made, dict.fromkeys(range(4), WORSE))

    assert (made.state.returns, made.state.training_round) == (1, PATIENCE + 1)
    assert not opens(made.contract, made.state)


def test_no_closing_height_opens_where_nobody_is_left_to_judge() -> None:
    terms = contract(4, training_rounds=2, samples=[100] * 4)
    made = stub_chain(2, of=with_feedback(terms, [1]))
    assert opens(made.contract, made.state)

    made = stub_chain(1, of=with_feedback(terms, [1]))
    made.add(made.build(evidence=(proof(made, 1),)))
    assert not opens(made.contract, made.state)


def test_training_that_stops_for_want_of_trainers_closes_with_the_last_model() -> None:
    terms = replace(contract(4, samples=[100] * 4), min_updates=4, trainer_budget=0)
    made = stub_chain(1, of=with_feedback(terms, range(4)))
    evidence = (proof(made, 0),)
    block = made.build(evidence=evidence)
    assert block.header.kind is BlockKind.EMPTY
    made.add(block)

    # The EMPTY block that bans could carry the figures itself.
    assert not opens(made.contract, made.state)


def test_the_weighted_median_is_the_least_value_that_half_the_power_reaches() -> None:
    rng = random.Random(16)
    for _ in range(2_000):
        powers = {member: rng.randint(1, 5) for member in range(rng.randint(1, 7))}
        values = {member: rng.randint(-9, 9) for member in powers}
        unrolled = sorted(values[member] for member in powers for _ in range(2 * powers[member]))

        assert weighted_median(values, powers) == unrolled[len(unrolled) // 2 - 1]
    assert weighted_median({4: 1}, {0: 1}) is None


class Twin:
    """The rule once more, slowly and from the list of all that was ever said."""

    def __init__(self, made: Chain) -> None:
        self.terms = made.contract
        self.best = (0, made.contract.model.initial_model_id)
        self.models: list[tuple[int, bytes, bytes]] = []
        self.said: dict[tuple[int, int], tuple[int, int]] = {}

    def gain(self, model: tuple[int, bytes, bytes], member: int) -> int | None:
        if (model[0], member) not in self.said:
            return None
        value, compared = self.said[model[0], member]
        if model[2] == self.best[1]:
            return value - compared
        for height, model_id, best_id in self.models:
            if (height, member) in self.said and model_id == self.best[1]:
                return value - self.said[height, member][0]
            if (height, member) in self.said and best_id == self.best[1]:
                return value - self.said[height, member][1]
        return None

    def is_quorum(self, before: State, members: list[int]) -> bool:
        every = [before.validators.power_of(each) for each in range(len(self.terms.members))]
        return 3 * sum(every[each] for each in members) > 2 * sum(every)

    def step(self, before: State, after: State, metrics: list[tuple[int, int, int, int]]) -> bool:
        for height, member, value, best_value in metrics:
            self.said[height, member] = (value, best_value)
        members = range(len(self.terms.members))
        returned = False
        if metrics:
            for model in self.models:
                fond = [m for m in members if (g := self.gain(model, m)) is not None and g > 0]
                if model[1] != self.best[1] and self.is_quorum(before, fond):
                    self.best = (model[0], model[1])
            later = [model for model in self.models if model[0] > self.best[0]]
            sorry = []
            for model in later:
                gains = [(m, self.gain(model, m)) for m in members]
                worse = [m for m, g in gains if g is not None and g < -TOLERANCE]
                sorry.append(self.is_quorum(before, worse))
            patience = self.terms.feedback.patience
            returned = any(all(sorry[i : i + patience]) for i in range(len(sorry) - patience + 1))
        made = after.height, digest(f"model {after.height}"), self.best[1]
        self.models = [] if returned else [*self.models, made][1 - 2 * patience_of(self) :]
        return returned


def patience_of(twin: Twin) -> int:
    return twin.terms.feedback.patience


@pytest.mark.parametrize("number", range(20))
def test_a_slow_twin_of_the_rule_agrees(number: int, seed: int) -> None:
    rng = random.Random(f"{seed} {number}")
    made = network(patience=rng.randint(1, 3))
    twin = Twin(made)
    twin.models = [(1, digest("model 1"), made.contract.model.initial_model_id)]
    returns = 0
    for _ in range(60):
        metrics = [
            signed
            for model in made.state.judged[-made.contract.feedback.patience :]
            for member in range(4)
            if rng.random() < 0.6
            and repetition_problem(
                made.state,
                signed := report(
                    made,
                    member,
                    value=rng.choice((0, 1, WORSE, WORSE, 2 * WORSE)),
                    best_value=rng.choice((0, 0, 1)),
                    model=model,
                ),
            )
            is None
        ]
        before = made.state
        made.add(made.build(metrics=tuple(metrics)))
        told = [
            (each.statement.height, each.signer, each.statement.value, each.statement.best_value)
            for each in metrics
        ]
        returns += twin.step(before, made.state, told)

        assert (made.state.best.height, made.state.best.model_id) == twin.best
        assert made.state.returns == returns
        assert [each.height for each in made.state.judged] == [each[0] for each in twin.models]
