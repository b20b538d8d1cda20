"""Whether probabilities of two classes can be believed, and how to make them so."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError
from fednode.learning.layers import logistic

Floats: TypeAlias = NDArray[np.float64]

BINS: Final = 10
STEPS_MAX: Final = 100
"""Newton's method needs fewer than ten on any sensible rows."""
_HALVINGS_MAX: Final = 40
_ENOUGH: Final = 1e-10
_MARGIN_MAX: Final = 36.0
"""Log-odds beyond which a float64 probability is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows whose probability lies between two bounds, and what became of them.

    `predicted` is their mean probability, `observed` the share of positive ones.
    """

    lower: float
    upper: float
    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlattScaling:
    """A logistic curve from log-odds as predicted to log-odds as observed."""

    slope: float
    intercept: float

    def apply(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities, shape (n,)."""
        return logistic(self.slope * _log_odds(probabilities) + self.intercept)


def brier_score(probabilities: Floats, labels: Floats) -> float:
    """Return the mean squared difference between probability and label, 0 being perfect.

    References:
        Brier, "Verification of forecasts expressed in terms of probability", 1950; of one class,
        so half of Brier's sum over both.
    """
    return float(np.mean((probabilities - labels) ** 2))


def reliability(probabilities: Floats, labels: Floats, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the bins of equal width that have rows, in their order.

    Args:
        probabilities: Of the positive class, shape (n,).
        labels: 0 or 1 per row, shape (n,).
        bins: Number of bins between 0 and 1; each holds its lower bound, the last one also 1.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    return tuple(
        Bin(
            lower=number / bins,
            upper=(number + 1) / bins,
            rows=int((place == number).sum()),
            predicted=float(probabilities[place == number].mean()),
            observed=float(labels[place == number].mean()),
        )
        for number in np.unique(place).tolist()
    )


def calibration_error(probabilities: Floats, labels: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error: how far a bin's rows differ from its prediction.

    References:
        Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
        Binning", AAAI 2015.
    """
    table = reliability(probabilities, labels, bins)
    return sum(each.rows * abs(each.observed - each.predicted) for each in table) / len(labels)


def fit_platt(probabilities: Floats, labels: Floats) -> PlattScaling:
    """Fit a logistic curve to rows that the model was not trained on, such as a hold-out.

    Args:
        probabilities: As the model predicts them, shape (n,).
        labels: 0 or 1 per row, shape (n,), both present.

    Raises:
        DataError: If a class is missing.

    References:
        Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with its targets a little
        inside of 0 and 1, which keep few rows from being believed too much; by Newton's method with
        halved steps as in Lin, Lin and Weng, Machine Learning 2007.
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        raise DataError(
            f"expected rows of both classes to calibrate by, got {positive} positive and "
            f"{negative} negative ones"
        )
    targets = np.where(labels > 0.0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.stack([_log_odds(probabilities), np.ones(len(labels))], axis=1)
    point = np.array([1.0, 0.0])
    for _ in range(STEPS_MAX):
        fitted = logistic(design @ point)
        slope = design.T @ (fitted - targets)
        curvature = design.T @ (design * (fitted * (1.0 - fitted))[:, np.newaxis])
        step = np.linalg.solve(curvature + _ENOUGH * np.eye(len(point)), slope)
        moved = _descend(design, targets, point, np.asarray(step, np.float64))
        if np.abs(moved - point).max() <= _ENOUGH * (1.0 + np.abs(point).max()):
            break
        point = moved
    return PlattScaling(slope=float(point[0]), intercept=float(point[1]))


def _descend(design: Floats, targets: Floats, point: Floats, step: Floats) -> Floats:
    before = _cross_entropy(design @ point, targets)
    for _ in range(_HALVINGS_MAX):
        moved = point - step
        if _cross_entropy(design @ moved, targets) <= before:
            return moved
        step = step / 2.0
    return point


def _cross_entropy(margin: Floats, targets: Floats) -> float:
    return float(np.sum(np.logaddexp(0.0, margin) - targets * margin))


def _log_odds(probabilities: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        odds = np.log(probabilities) - np.log1p(-probabilities)
    return np.asarray(np.clip(odds, -_MARGIN_MAX, _MARGIN_MAX))
