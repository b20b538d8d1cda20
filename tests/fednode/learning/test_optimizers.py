from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from fednode.learning.dataset import Dataset
from fednode.learning.learner import FitContext, TrainingSettings
from fednode.learning.models import Network
from fednode.learning.optimizers import blend, shuffled_batches, train
from tests.fednode.learning.builders import SETTINGS, separable


def context(settings: TrainingSettings, seed: int = 0) -> FitContext:
    return FitContext(training_round=1, settings=settings, rng=np.random.default_rng(seed))


def test_two_steps_with_momentum_are_those_of_the_formula() -> None:
    network = Network(sizes=(1, 1))
    rows = Dataset(features=np.array([[2.0]]), labels=np.array([1.0]), feature_names=("x",))
    start = {"matrix0": np.array([[0.0]]), "bias0": np.array([0.0])}
    settings = replace(SETTINGS, learning_rate=0.5, momentum=0.9, local_steps=2)

    trained = train(network, start, rows, context(settings))

    # The margin is 0 at first, so the error is -1/2; after it 0.5 * (2 * 1 + 1 * 0.5) = 1.25 * 2.
    first = np.array([-1.0, -0.5])
    point = -0.5 * first
    error = 1 / (1 + np.exp(-(2.0 * point[0] + point[1]))) - 1.0
    second = 0.9 * first + error * np.array([2.0, 1.0])
    expected = point - 0.5 * second
    assert [trained["matrix0"][0, 0], trained["bias0"][0]] == pytest.approx(expected.tolist())
    assert not start["matrix0"].any()


def test_training_lowers_the_loss_and_repeats_with_the_same_seed() -> None:
    rows, network = separable(), Network(sizes=(3, 8, 1))
    start = network.initial_parameters(np.random.default_rng(0))

    first, same, other = (
        train(network, start, rows, context(SETTINGS, seed)) for seed in (1, 1, 2)
    )

    before = network.loss(start, rows.features, rows.labels)
    assert network.loss(first, rows.features, rows.labels) < 0.9 * before
    assert np.array_equal(first["matrix0"], same["matrix0"])
    assert not np.array_equal(first["matrix0"], other["matrix0"])


def test_batches_of_one_local_epoch_are_full_and_disjoint() -> None:
    batches = list(islice(shuffled_batches(10, 4, np.random.default_rng(0)), 4))

    assert [len(batch) for batch in batches] == [4, 4, 4, 4]
    assert len(set(np.concatenate(batches[:2]).tolist())) == 8
    assert batches[0].tolist() != batches[2].tolist()


def test_a_batch_larger_than_the_data_holds_every_row_once() -> None:
    batch = next(shuffled_batches(3, 16, np.random.default_rng(0)))

    assert sorted(batch.tolist()) == [0, 1, 2]


def test_worker_momentum_starts_with_the_first_update_and_then_averages() -> None:
    first = blend(np.array([2.0]), None, 0.9)
    second = blend(np.array([12.0]), first, 0.9)

    assert first.tolist() == [2.0]
    assert second.tolist() == pytest.approx([0.9 * 2.0 + 0.1 * 12.0])
