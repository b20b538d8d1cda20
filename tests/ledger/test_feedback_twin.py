"""Rule P16 once more, computed slowly and compared on random histories."""

import random

import pytest

from ledger.feedback import repetition_problem
from ledger.state import State
from tests.support.feedback import FEEDBACK, judging_network, report
from tests.support.ledger import Chain, digest

TOLERANCE = FEEDBACK.tolerance
WORSE = -TOLERANCE - 1


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
    made = judging_network(patience=rng.randint(1, 3))
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
