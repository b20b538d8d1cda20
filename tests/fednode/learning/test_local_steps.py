from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError, TrainerError
from fednode.learning.heads import Floats
from fednode.learning.learner import FitContext, TrainingSettings
from fednode.learning.local_steps import Augment, shuffled_batches, train
from fednode.learning.models import build_network
from tests.fednode.learning.builders import SETTINGS, separable

ONE_ROW = Dataset(features=np.array([[2.0]]), labels=np.array([1.0]), feature_names=("x",))
ZERO = {"matrix0": np.array([[0.0]]), "bias0": np.array([0.0])}


def context(settings: TrainingSettings, seed: int = 0) -> FitContext:
    return FitContext(training_round=1, settings=settings, rng=np.random.default_rng(seed))


def test_two_steps_with_momentum_are_those_of_the_formula() -> None:
    network = build_network("logistic", 1)
    settings = replace(SETTINGS, learning_rate=0.5, momentum=0.9, local_steps=2)

    trained = train(network, ZERO, ONE_ROW, context(settings)).parameters

    # The margin is 0 at first, so the error is -1/2; after it 0.5 * (2 * 1 + 1 * 0.5) = 1.25 * 2.
    first = np.array([-1.0, -0.5])
    point = -0.5 * first
    error = 1 / (1 + np.exp(-(2.0 * point[0] + point[1]))) - 1.0
    second = 0.9 * first + error * np.array([2.0, 1.0])
    expected = point - 0.5 * second
    assert [trained["matrix0"][0, 0], trained["bias0"][0]] == pytest.approx(expected.tolist())
    assert not ZERO["matrix0"].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "sgd,prox=0.1", "sgd,stop=0.25"])
def test_training_lowers_the_loss_and_repeats_with_the_same_seed(optimizer: str) -> None:
    rows, network = separable(), build_network("mlp-8", 3)
    start = network.initial_parameters(np.random.default_rng(0))
    settings = replace(SETTINGS, optimizer=optimizer)

    first, same, other = (
        train(network, start, rows, context(settings, seed)).parameters for seed in (1, 1, 2)
    )

    before = network.loss(start, rows.features, rows.labels)
    assert network.loss(first, rows.features, rows.labels) < 0.9 * before
    assert np.array_equal(first["matrix0"], same["matrix0"])
    assert not np.array_equal(first["matrix0"], other["matrix0"])


def test_proximal_pull_is_nothing_at_the_start_and_grows_with_the_distance() -> None:
    network, rate, mu = build_network("logistic", 1), 0.5, 0.3
    start = {"matrix0": np.array([[0.7]]), "bias0": np.array([-0.4])}
    settings = replace(SETTINGS, learning_rate=rate, local_steps=2)
    pulled = replace(settings, optimizer=f"sgd,prox={mu}")

    one = train(network, start, ONE_ROW, context(replace(settings, local_steps=1))).parameters
    plain = train(network, start, ONE_ROW, context(settings)).parameters
    near = train(network, start, ONE_ROW, context(pulled)).parameters

    for name, values in start.items():
        pull = rate * mu * (one[name] - values)
        assert near[name] == pytest.approx(plain[name] - pull)


def test_class_weights_multiply_the_gradient_of_their_rows() -> None:
    network = build_network("logistic", 1)
    settings = replace(SETTINGS, local_steps=1)

    plain = train(network, ZERO, ONE_ROW, context(settings)).parameters
    heavy = train(
        network, ZERO, ONE_ROW, context(replace(settings, optimizer="sgd,weights=1:3"))
    ).parameters

    assert heavy["matrix0"] == pytest.approx(3.0 * plain["matrix0"])


def test_augmentation_changes_what_is_trained_on_and_not_the_rows() -> None:
    seen: list[Floats] = []

    def double(features: Floats, rng: np.random.Generator) -> Floats:
        seen.append(features)
        assert isinstance(rng, np.random.Generator)
        return 2.0 * features

    network, settings = build_network("logistic", 1), replace(SETTINGS, local_steps=1)

    plain = train(network, ZERO, ONE_ROW, context(settings)).parameters
    augmented = train(network, ZERO, ONE_ROW, context(settings), double).parameters

    assert [each.tolist() for each in seen] == [[[2.0]]]
    assert augmented["matrix0"] == pytest.approx(2.0 * plain["matrix0"])
    assert augmented["bias0"] == pytest.approx(plain["bias0"])


@pytest.mark.parametrize(
    ("augment", "got"),
    [
        (lambda features, _: features[:, :0], r"float64 of shape \(1, 0\)"),
        (lambda features, _: features.repeat(2, axis=0), r"float64 of shape \(2, 1\)"),
        (lambda features, _: features.astype(np.float32), r"float32 of shape \(1, 1\)"),
    ],
)
def test_augmentation_that_changes_shape_or_kind_is_one_sentence(
    augment: Augment, got: str
) -> None:
    expected = r"float64 features of shape \(1, 1\) from the augmentation, got "

    with pytest.raises(TrainerError, match=expected + got):
        train(build_network("logistic", 1), ZERO, ONE_ROW, context(SETTINGS), augment)


def noisy(rows: int = 30, features: int = 20) -> Dataset:
    """Labels that have nothing to do with the features: learning them is overfitting."""
    rng = np.random.default_rng(5)
    return Dataset(
        features=rng.normal(size=(rows, features)),
        labels=rng.integers(0, 2, rows).astype(float),
        feature_names=tuple(f"x{column}" for column in range(features)),
    )


def test_early_stopping_ends_where_the_rows_set_aside_get_worse() -> None:
    network = build_network("logistic", 20)
    settings = replace(SETTINGS, learning_rate=0.5, local_steps=400, batch_size=8)
    start = network.initial_parameters(np.random.default_rng(0))

    full = train(network, start, noisy(), context(settings))
    stopped = train(
        network, start, noisy(), context(replace(settings, optimizer="sgd,stop=0.5,patience=2"))
    )

    assert full.steps == 400
    assert 0 < stopped.steps < 20
    sizes = [np.abs(each.parameters["matrix0"]).sum() for each in (stopped, full)]
    assert sizes[0] < 0.5 * sizes[1]


def test_early_stopping_gives_the_parameters_of_the_best_look() -> None:
    network = build_network("logistic", 20)
    settings = replace(
        SETTINGS, learning_rate=0.5, local_steps=400, optimizer="sgd,stop=0.5,patience=2"
    )
    start = network.initial_parameters(np.random.default_rng(0))

    stopped = train(network, start, noisy(), context(settings))
    shorter = train(network, start, noisy(), context(replace(settings, local_steps=stopped.steps)))

    assert np.array_equal(stopped.parameters["matrix0"], shorter.parameters["matrix0"])


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_early_stopping_waits_for_as_many_bad_looks_as_it_has_patience(patience: int) -> None:
    batches: list[int] = []

    def count(features: Floats, rng: np.random.Generator) -> Floats:
        del rng
        batches.append(len(features))
        return features

    network = build_network("logistic", 20)
    settings = replace(
        SETTINGS,
        learning_rate=50.0,  # every look after the first is worse
        local_steps=100,
        batch_size=15,  # all rows that are not set aside: a look after each step
        optimizer=f"sgd,stop=0.5,patience={patience}".removesuffix(",patience=3"),
    )
    start = network.initial_parameters(np.random.default_rng(0))

    stopped = train(network, start, noisy(), context(settings), count)

    assert len(batches) == stopped.steps + patience


def test_too_few_rows_to_set_aside_are_refused() -> None:
    settings = replace(SETTINGS, optimizer="sgd,stop=0.1")

    with pytest.raises(DataError, match=r"1 training rows are too few to set 0\.1 of them aside"):
        train(build_network("logistic", 1), ZERO, ONE_ROW, context(settings))


def test_batches_of_one_local_epoch_are_full_and_disjoint() -> None:
    batches = list(islice(shuffled_batches(10, 4, np.random.default_rng(0)), 4))

    assert [len(batch) for batch in batches] == [4, 4, 4, 4]
    assert len(set(np.concatenate(batches[:2]).tolist())) == 8
    assert batches[0].tolist() != batches[2].tolist()


def test_a_batch_larger_than_the_data_holds_every_row_once() -> None:
    batch = next(shuffled_batches(3, 16, np.random.default_rng(0)))

    assert sorted(batch.tolist()) == [0, 1, 2]
