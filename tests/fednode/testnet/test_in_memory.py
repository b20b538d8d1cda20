"""A network of learners in this process, for notebooks, by the nodes that hospitals run."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions
from fednode.learning.errors import SettingsError, TrainerError
from fednode.learning.learner import Learner, TrainingSettings
from fednode.learning.own_learner import build_own
from fednode.learning.registry import build_learner
from fednode.testnet import History, run
from ledger.export import read_export
from tests.fednode.learning.builders import SETTINGS, separable
from tests.support.user_learner import MISTAKES, MODEL, source_with, write_learner

OPTIONS = ContractOptions(name="notebook", training_rounds=3, local_steps=10)


def member(number: int, settings: TrainingSettings = SETTINGS) -> Learner:
    return build_learner(
        settings, 3, {"training": separable(seed=number), "test": separable(seed=9)}
    )


@pytest.fixture(scope="module")
def history() -> History:
    return run(OPTIONS, [member(number) for number in range(4)], seed=5)


def test_every_height_has_its_model_figures_powers_and_members(history: History) -> None:
    assert [each.height for each in history.heights] == [1, 2, 3]
    assert [each.training_round for each in history.heights] == [1, 2, 3]
    for each in history.heights:
        assert (each.kind, each.included) == ("AGGREGATE", (0, 1, 2, 3))
        assert set(each.metrics) == set(each.powers) == {0, 1, 2, 3}
    assert history.mean("accuracy")[-1] > 0.9
    assert history.mean("loss")[-1] < history.mean("loss")[0]
    assert list(history.model) == ["matrix0", "bias0"]
    with pytest.raises(KeyError, match="c_index"):
        history.mean("c_index")


def test_ledger_of_a_run_is_one_that_audits(history: History) -> None:
    blocks, certificate = read_export(history.export())

    assert (blocks, certificate) == (history.blocks, history.certificate)
    assert history.findings() == ()
    assert [each.header.results.model_id.hex() for each in blocks] == [
        each.model_id for each in history.heights
    ]


def test_same_seed_gives_the_same_models_also_inside_a_running_event_loop(
    history: History,
) -> None:
    async def cell() -> History:
        return run(OPTIONS, [member(number) for number in range(4)], seed=5)

    again = asyncio.run(cell())

    assert [each.model_id for each in again.heights] == [each.model_id for each in history.heights]


def test_another_seed_gives_another_model_and_other_keys(history: History) -> None:
    learners = [member(number) for number in range(4)]

    other = run(replace(OPTIONS, training_rounds=1), learners, seed=6)

    assert other.heights[0].model_id != history.heights[0].model_id
    keys = [
        {each.public_key for each in made.genesis.contract.members} for made in (history, other)
    ]
    assert keys[0].isdisjoint(keys[1])


def test_figures_are_those_of_the_rows_asked_for() -> None:
    options, learner = replace(OPTIONS, training_rounds=1), member(0)

    training, none = [run(options, [learner], rows=rows) for rows in ("training", "hold_out")]

    assert training.heights[0].metrics[0]["samples"] == 40.0
    assert none.heights[0].metrics == {}


def test_learner_that_fails_ends_the_run_with_its_sentence(tmp_path: Path) -> None:
    source = source_with(MISTAKES["exception"], from_training_round=2)
    settings = replace(SETTINGS, model=MODEL)
    learners = [
        build_own(settings, 3, {"training": separable()}, write_learner(tmp_path, text)).learner
        for text in (source_with(), source)
    ]

    with pytest.raises(
        TrainerError, match=r"member 1 .MyLearner. failed in fit of training round 2"
    ):
        run(OPTIONS, learners)


def test_run_without_learners_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected a learner for each member, got none"):
        run(OPTIONS, [])
