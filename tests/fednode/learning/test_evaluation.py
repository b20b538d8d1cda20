import numpy as np
import pytest

from fednode.learning.dataset import Dataset
from fednode.learning.evaluation import accuracy, evaluate
from fednode.learning.heads import Floats
from fednode.learning.models import build_network


def test_accuracy_counts_a_score_of_one_half_as_negative() -> None:
    assert accuracy(np.array([0.5, 0.6, 0.4]), np.array([0.0, 1.0, 1.0])) == pytest.approx(2 / 3)


def rows_of(labels: Floats) -> Dataset:
    return Dataset(features=np.zeros((len(labels), 1)), labels=labels, feature_names=("x",))


def test_rows_of_one_class_have_no_auc() -> None:
    parameters = {"matrix0": np.zeros((1, 1)), "bias0": np.array([-1.0])}

    metrics = evaluate(build_network("logistic", 1), parameters, rows_of(np.zeros(3)))

    probability = 1 / (1 + np.exp(1.0))
    assert metrics == {
        "samples": 3.0,
        "loss": pytest.approx(np.log1p(np.exp(-1))),
        "accuracy": 1.0,
        "brier": pytest.approx(probability**2),
    }


def test_classes_are_judged_by_the_most_probable_one() -> None:
    parameters = {"matrix0": np.array([[3.0, 0.0, -3.0]]), "bias0": np.zeros(3)}
    rows = Dataset(
        features=np.array([[1.0], [1.0], [-1.0], [-1.0]]),
        labels=np.array([0.0, 1.0, 2.0, 2.0]),
        feature_names=("x",),
    )

    metrics = evaluate(build_network("softmax3", 1), parameters, rows)

    assert metrics["accuracy"] == 0.75
    # Class 0: (1 + .5 + 1 + 1)... pair by pair: 0 beats 2, 2 and ties with 1; 1 beats 2, 2 by half.
    assert metrics["auc"] == pytest.approx(np.mean([2.5 / 3, 0.5, 1.0]))
    assert set(metrics) == {"samples", "loss", "accuracy", "auc"}


def test_values_are_judged_by_their_distance() -> None:
    parameters = {"matrix0": np.zeros((1, 2)), "bias0": np.array([1.0, 2.0])}
    labels = np.array([[1.0, 3.0], [3.0, 3.0]])

    metrics = evaluate(build_network("linear2", 1), parameters, rows_of(labels))

    # Differences 0, 1, 2, 1; the labels' spread about their means is 1 + 1 + 0 + 0.
    assert metrics == {
        "samples": 2.0,
        "loss": pytest.approx(6 / 4),
        "mae": pytest.approx(1.0),
        "r2": pytest.approx(1 - 6 / 2),
    }


def test_labels_that_do_not_vary_have_no_r2() -> None:
    parameters = {"matrix0": np.zeros((1, 1)), "bias0": np.zeros(1)}

    assert "r2" not in evaluate(build_network("linear", 1), parameters, rows_of(np.ones(3)))


def test_survival_is_judged_by_concordance() -> None:
    rows = Dataset(
        features=np.array([[3.0], [1.0], [2.0]]),
        labels=np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 0.0]]),
        feature_names=("x",),
    )
    network = build_network("cox", 1)

    judged = evaluate(network, {"matrix0": np.array([[1.0]])}, rows)
    censored = evaluate(network, {"matrix0": np.array([[1.0]])}, rows.take(np.array([2])))

    assert judged["c_index"] == pytest.approx(2 / 3)
    assert set(censored) == {"samples", "loss"}
