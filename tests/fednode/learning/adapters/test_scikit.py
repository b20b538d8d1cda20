"""Estimators of scikit-learn as learners: linear ones, networks, and what cannot be averaged."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.tree import DecisionTreeClassifier

from fednode.learning.adapters.scikit import Build, sklearn_learner
from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError, SettingsError
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    Learner,
    Parameters,
    TrainingSettings,
)
from tests.fednode.learning.builders import SETTINGS, separable

ROWS = separable()
TRAINING = EvaluationContext(rows="training")
CLASSIFIERS: dict[str, Build] = {
    "sgd": lambda settings: SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=settings.learning_rate
    ),
    "perceptron": lambda _: Perceptron(),
    "logistic": lambda _: LogisticRegression(),
    "network": lambda _: MLPClassifier(hidden_layer_sizes=(5,), learning_rate_init=0.05),
}
REGRESSORS: dict[str, Build] = {
    "sgd": lambda _: SGDRegressor(),
    "ridge": lambda _: Ridge(alpha=0.1),
    "least squares": lambda _: LinearRegression(),
    "no intercept": lambda _: LinearRegression(fit_intercept=False),
    "network": lambda _: MLPRegressor(hidden_layer_sizes=(5,), learning_rate_init=0.05),
}


def context(training_round: int = 1, local_steps: int = 60) -> FitContext:
    return FitContext(
        training_round=training_round,
        settings=replace(SETTINGS, local_steps=local_steps),
        rng=np.random.default_rng([7, 0, training_round]),
    )


def values(rows: Dataset) -> Dataset:
    return replace(rows, labels=rows.features @ np.array([1.0, -2.0, 0.5]))


def made(build: Build, rows: Dataset = ROWS, classes: int = 2) -> Learner:
    return sklearn_learner(build, classes=classes)(SETTINGS, 3, {"training": rows})


def start(learner: Learner) -> Parameters:
    return learner.initial_parameters(np.random.default_rng(3))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_learns_and_its_update_leads_to_what_it_learned(name: str) -> None:
    learner = made(CLASSIFIERS[name])
    parameters = start(learner)

    result = learner.fit(parameters, context())

    trained = {key: parameters[key] + result.delta[key] for key in parameters}
    assert result.metrics["accuracy"] > 0.9
    assert learner.evaluate(trained, TRAINING) == result.metrics
    assert result.samples == 40


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_learns_and_its_update_leads_to_what_it_learned(name: str) -> None:
    learner = made(REGRESSORS[name], values(ROWS))
    parameters = start(learner)

    result = learner.fit(parameters, context(local_steps=200))

    trained = {key: parameters[key] + result.delta[key] for key in parameters}
    assert result.metrics["r2"] > 0.9
    assert learner.evaluate(trained, TRAINING) == pytest.approx(result.metrics)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_training_round_done_again_gives_the_same_update_from_where_it_starts(name: str) -> None:
    learner = made(CLASSIFIERS[name])
    parameters = start(learner)

    first, again = (learner.fit(parameters, context(2, 3)) for _ in range(2))

    assert all((first.delta[key] == again.delta[key]).all() for key in parameters)
    moved = {key: each + 1.0 for key, each in parameters.items()}
    other = learner.fit(moved, context(2, 3))
    assert any((first.delta[key] != other.delta[key]).any() for key in parameters)


def test_update_is_that_of_partial_fit_alone() -> None:
    settings = replace(SETTINGS, batch_size=len(ROWS.labels), local_steps=1)

    def build(_: TrainingSettings) -> SGDClassifier:
        return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.1, shuffle=False)

    learner, alone = made(build), build(settings)
    now = FitContext(training_round=1, settings=settings, rng=np.random.default_rng(5))

    result = learner.fit(start(learner), now)

    order = np.random.default_rng(5).permutation(len(ROWS.labels))
    alone.partial_fit(ROWS.features[order], ROWS.labels[order].astype(int), classes=[0, 1])
    assert result.delta["coef"] == pytest.approx(alone.coef_)
    assert result.delta["intercept"] == pytest.approx(alone.intercept_)


def test_linear_models_start_at_zero_and_networks_by_the_seed() -> None:
    linear, network = start(made(CLASSIFIERS["sgd"])), start(made(CLASSIFIERS["network"]))

    assert {key: each.shape for key, each in linear.items()} == {"coef": (1, 3), "intercept": (1,)}
    assert not any(each.any() for each in linear.values())
    assert list(network) == ["coef0", "intercept0", "coef1", "intercept1"]
    assert network["coef0"].any()
    assert not network["intercept0"].any()


def test_three_classes_have_a_row_of_coefficients_each() -> None:
    labels = np.argmax(ROWS.features, axis=1).astype(np.float64)
    learner = made(CLASSIFIERS["sgd"], replace(ROWS, labels=labels), classes=3)

    result = learner.fit(start(learner), context())

    assert result.delta["coef"].shape == (3, 3)
    assert result.metrics["accuracy"] > 0.8


def test_estimator_without_coefficients_is_refused() -> None:
    with pytest.raises(SettingsError, match="got DecisionTreeClassifier, which has neither"):
        made(lambda _: DecisionTreeClassifier())


def test_rows_that_are_not_there_are_named() -> None:
    learner = made(CLASSIFIERS["sgd"])

    with pytest.raises(DataError, match="no rows named test: this member has training"):
        learner.evaluate(start(learner), EvaluationContext(rows="test"))
