import numpy as np
import pytest

from fednode.learning.cox import PartialLikelihood
from fednode.learning.heads import Floats


def twin(hazard: Floats, labels: Floats) -> float:
    """Efron's approximation, term by term as it is printed."""
    times, events = labels.T
    total, deaths = 0.0, 0
    for time in np.unique(times[events > 0]):
        dying = np.flatnonzero((times == time) & (events > 0))
        at_risk = np.exp(hazard[times >= time]).sum()
        tied = np.exp(hazard[dying]).sum()
        for place, row in enumerate(dying):
            total += hazard[row] - np.log(at_risk - place / len(dying) * tied)
            deaths += 1
    return -total / deaths if deaths else 0.0


def test_loss_is_efrons_partial_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        n = int(rng.integers(1, 12))
        labels = np.stack([rng.integers(1, 6, n), rng.integers(0, 2, n)], axis=1).astype(float)
        outputs = rng.normal(size=(n, 1))

        loss = PartialLikelihood().loss(outputs, labels, None)

        assert loss == pytest.approx(twin(outputs[:, 0], labels), abs=1e-12)


def test_without_ties_the_first_event_competes_with_everybody() -> None:
    labels = np.array([[1.0, 1.0], [2.0, 0.0], [3.0, 1.0]])

    loss = PartialLikelihood().loss(np.zeros((3, 1)), labels, None)

    assert loss == pytest.approx((np.log(3) + np.log(1)) / 2)


def test_a_batch_without_an_event_teaches_nothing() -> None:
    labels, outputs = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[3.0], [1.0]])
    head = PartialLikelihood()

    assert head.loss(outputs, labels, None) == 0.0
    assert not head.slope(outputs, labels, None).any()


def test_a_constant_added_to_all_hazards_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.integers(1, 6, 30), rng.integers(0, 2, 30)], axis=1).astype(float)
    outputs, head = rng.normal(size=(30, 1)), PartialLikelihood()

    assert head.loss(outputs + 500.0, labels, None) == pytest.approx(
        head.loss(outputs, labels, None)
    )
    assert head.slope(outputs, labels, None).sum() == pytest.approx(0.0, abs=1e-12)
