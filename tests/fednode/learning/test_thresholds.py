import numpy as np
import pytest

from fednode.learning.errors import DataError
from fednode.learning.heads import Floats
from fednode.learning.thresholds import Threshold, sensitive_threshold, youden_threshold


def judged(threshold: float, scores: Floats, labels: Floats) -> tuple[float, float]:
    """Sensitivity and specificity by their definitions."""
    above = scores > threshold
    return float(above[labels == 1].mean()), float((~above)[labels == 0].mean())


def drawn(rng: np.random.Generator) -> tuple[Floats, Floats]:
    n = int(rng.integers(2, 12))
    return rng.integers(0, 6, n) / 5, np.r_[0.0, 1.0, rng.integers(0, 2, n - 2)].astype(float)


def test_youdens_threshold_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        scores, labels = drawn(rng)

        chosen = youden_threshold(scores, labels)

        every = [sum(judged(bound, scores, labels)) for bound in np.arange(-0.1, 1.0, 0.2)]
        assert (chosen.sensitivity, chosen.specificity) == judged(chosen.value, scores, labels)
        assert chosen.sensitivity + chosen.specificity == pytest.approx(max(every))


def test_threshold_for_a_sensitivity_is_the_highest_that_reaches_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        scores, labels = drawn(rng)
        wanted = float(rng.choice([0.1, 0.5, 0.8, 1.0]))

        chosen = sensitive_threshold(scores, labels, wanted)

        assert (chosen.sensitivity, chosen.specificity) == judged(chosen.value, scores, labels)
        fewest = min(
            (scores > bound).sum()
            for bound in np.arange(-0.1, 1.0, 0.2)
            if judged(bound, scores, labels)[0] >= wanted
        )
        assert chosen.sensitivity >= wanted
        assert (scores > chosen.value).sum() == fewest


def test_rows_of_probability_zero_can_be_called_positive() -> None:
    scores, labels = np.array([0.0, 0.5]), np.array([1.0, 0.0])

    chosen = sensitive_threshold(scores, labels, 1.0)

    assert chosen == Threshold(value=-1.0, sensitivity=1.0, specificity=0.0)


@pytest.mark.parametrize("sensitivity", [0.0, 1.1, np.nan])
def test_a_share_that_is_none_is_refused(sensitivity: float) -> None:
    with pytest.raises(DataError, match="expected a sensitivity above 0 and at most 1"):
        sensitive_threshold(np.array([0.1, 0.9]), np.array([0.0, 1.0]), sensitivity)


def test_one_class_alone_has_no_threshold() -> None:
    with pytest.raises(DataError, match="got 2 positive and 0 negative ones"):
        youden_threshold(np.array([0.1, 0.9]), np.ones(2))
