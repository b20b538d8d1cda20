import numpy as np
import pytest

from fednode.learning.dataset import Dataset
from fednode.learning.evaluation import accuracy, area_under_curve, evaluate
from fednode.learning.models import Network


def pairs_auc(scores: list[float], labels: list[float]) -> float:
    """The definition, pair by pair."""
    positive = [score for score, label in zip(scores, labels, strict=True) if label]
    negative = [score for score, label in zip(scores, labels, strict=True) if not label]
    wins = sum((a > b) + 0.5 * (a == b) for a in positive for b in negative)
    return wins / (len(positive) * len(negative))


def test_auc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        n = int(rng.integers(2, 12))
        scores = rng.integers(0, 4, n).astype(float)
        labels = np.r_[0.0, 1.0, rng.integers(0, 2, n - 2)].astype(float)

        value = area_under_curve(scores, labels)

        assert value == pytest.approx(pairs_auc(scores.tolist(), labels.tolist()))


def test_auc_agrees_with_scikit_learn(seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    scores = rng.normal(size=100).round(1)
    labels = (rng.random(100) < 0.3).astype(float)

    assert area_under_curve(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_accuracy_counts_a_score_of_one_half_as_negative() -> None:
    assert accuracy(np.array([0.5, 0.6, 0.4]), np.array([0.0, 1.0, 1.0])) == pytest.approx(2 / 3)


def test_rows_of_one_class_have_no_auc() -> None:
    rows = Dataset(features=np.zeros((3, 1)), labels=np.zeros(3), feature_names=("x",))
    parameters = {"matrix0": np.zeros((1, 1)), "bias0": np.array([-1.0])}

    metrics = evaluate(Network(sizes=(1, 1)), parameters, rows)

    assert metrics == {"samples": 3.0, "loss": pytest.approx(np.log1p(np.exp(-1))), "accuracy": 1.0}
