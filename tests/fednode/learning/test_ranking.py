import numpy as np
import pytest

from fednode.learning.heads import Floats
from fednode.learning.ranking import area_under_curve, concordance, macro_area_under_curve


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


def test_macro_auc_agrees_with_scikit_learn(seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(4), size=60).round(2)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = np.r_[0, 1, 2, 3, rng.integers(0, 4, 56)].astype(float)

    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")

    assert macro_area_under_curve(probabilities, labels) == pytest.approx(expected)


def test_macro_auc_leaves_out_classes_that_do_not_occur() -> None:
    probabilities = np.array([[0.6, 0.1, 0.3], [0.2, 0.1, 0.7]])

    assert macro_area_under_curve(probabilities, np.array([0.0, 2.0])) == 1.0


def twin(hazards: Floats, times: Floats, events: Floats) -> float | None:
    """The definition, pair by pair."""
    won, pairs = 0.0, 0
    for i in range(len(hazards)):
        for j in range(len(hazards)):
            is_later = times[j] > times[i] or (times[j] == times[i] and not events[j])
            if i != j and events[i] and is_later:
                pairs += 1
                won += (hazards[i] > hazards[j]) + 0.5 * (hazards[i] == hazards[j])
    return won / pairs if pairs else None


def test_concordance_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = set()
    for _ in range(200):
        n = int(rng.integers(1, 10))
        hazards = rng.integers(0, 4, n).astype(float)
        times = rng.integers(1, 5, n).astype(float)
        events = rng.integers(0, 2, n).astype(float)

        value, expected = concordance(hazards, times, events), twin(hazards, times, events)

        assert value == (None if expected is None else pytest.approx(expected))
        seen.add(value is None)
    assert seen == {True, False}


def test_deaths_at_the_same_time_are_not_compared() -> None:
    hazards, times = np.array([1.0, 2.0]), np.array([5.0, 5.0])

    assert concordance(hazards, times, np.ones(2)) is None
    assert concordance(hazards, times, np.array([0.0, 1.0])) == 1.0
