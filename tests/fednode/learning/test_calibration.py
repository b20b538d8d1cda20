import numpy as np
import pytest

from fednode.learning.calibration import (
    Bin,
    brier_score,
    calibration_error,
    fit_platt,
    reliability,
)
from fednode.learning.errors import DataError
from fednode.learning.heads import Floats
from fednode.learning.layers import logistic


def drawn(slope: float, intercept: float, rows: int = 20_000) -> tuple[Floats, Floats]:
    """Probabilities that are said, and labels drawn by others: the true curve is known."""
    rng = np.random.default_rng(3)
    margin = rng.normal(size=rows)
    truth = logistic(slope * margin + intercept)
    return logistic(margin), (rng.random(rows) < truth).astype(float)


def test_brier_score_is_the_mean_squared_difference() -> None:
    assert brier_score(np.array([1.0, 0.5, 0.2]), np.array([1.0, 1.0, 0.0])) == pytest.approx(
        (0.0 + 0.25 + 0.04) / 3
    )


def test_bins_hold_their_lower_bound_and_the_last_one_also_its_upper() -> None:
    probabilities = np.array([0.0, 0.05, 0.1, 1.0])

    table = reliability(probabilities, np.array([0.0, 1.0, 1.0, 1.0]))

    assert table == (
        Bin(lower=0.0, upper=0.1, rows=2, predicted=0.025, observed=0.5),
        Bin(lower=0.1, upper=0.2, rows=1, predicted=0.1, observed=1.0),
        Bin(lower=0.9, upper=1.0, rows=1, predicted=1.0, observed=1.0),
    )


def test_calibration_error_weighs_bins_by_their_rows() -> None:
    probabilities = np.array([0.05, 0.05, 0.05, 0.95])
    labels = np.array([0.0, 0.0, 1.0, 1.0])

    assert calibration_error(probabilities, labels) == pytest.approx(
        0.75 * abs(1 / 3 - 0.05) + 0.25 * 0.05
    )


def test_platt_scaling_finds_the_curve_that_labels_were_drawn_by() -> None:
    probabilities, labels = drawn(0.5, -1.0)

    fitted = fit_platt(probabilities, labels)
    calibrated = fitted.apply(probabilities)

    assert [fitted.slope, fitted.intercept] == pytest.approx([0.5, -1.0], abs=0.05)
    assert calibration_error(probabilities, labels) > 0.15
    assert calibration_error(calibrated, labels) < 0.02
    assert brier_score(calibrated, labels) < brier_score(probabilities, labels)


def test_platt_scaling_of_calibrated_probabilities_changes_little() -> None:
    fitted = fit_platt(*drawn(1.0, 0.0))

    assert [fitted.slope, fitted.intercept] == pytest.approx([1.0, 0.0], abs=0.05)


def test_platt_scaling_is_where_the_slope_of_its_loss_is_zero() -> None:
    probabilities, labels = drawn(0.7, 0.3, rows=500)
    positive = labels.sum()
    targets = np.where(labels > 0, (positive + 1) / (positive + 2), 1 / (502 - positive))

    error = fit_platt(probabilities, labels).apply(probabilities) - targets

    # The loss is convex: there is no other minimum.
    margin = np.log(probabilities / (1 - probabilities))
    assert [error.mean(), (error * margin).mean()] == pytest.approx([0.0, 0.0], abs=1e-9)


def test_rows_that_are_told_apart_entirely_still_have_a_finite_curve() -> None:
    probabilities = np.array([0.0, 0.1, 0.9, 1.0])

    fitted = fit_platt(probabilities, np.array([0.0, 0.0, 1.0, 1.0]))

    assert 0.0 < fitted.slope < 10.0
    assert (np.diff(fitted.apply(probabilities)) > 0.0).all()


def test_one_class_alone_cannot_calibrate() -> None:
    with pytest.raises(DataError, match="got 0 positive and 2 negative"):
        fit_platt(np.array([0.1, 0.2]), np.zeros(2))
