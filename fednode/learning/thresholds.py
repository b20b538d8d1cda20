"""Choose the probability above which a row is called positive."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A bound on probabilities, and what it does to the rows that it was chosen by.

    `sensitivity` is the share of positive rows above it, `specificity` that of negative rows not
    above it.
    """

    value: float
    sensitivity: float
    specificity: float


def youden_threshold(probabilities: Floats, labels: Floats) -> Threshold:
    """Return the threshold of the largest sensitivity + specificity; of several, the highest.

    Args:
        probabilities: Of the positive class, shape (n,), of rows that were not trained on.
        labels: 0 or 1 per row, shape (n,), both present.

    Raises:
        DataError: If a class is missing.

    Examples:
        >>> scores, labels = np.array([0.1, 0.3, 0.4, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])
        >>> youden_threshold(scores, labels)
        Threshold(value=0.65, sensitivity=0.5, specificity=1.0)

    References:
        Youden, "Index for rating diagnostic tests", Cancer 1950.
    """
    values, found, cleared = _choices(probabilities, labels)
    positive, negative = (labels > 0.0).sum(), (labels <= 0.0).sum()
    # Counts times counts, so that rounding does not decide between equals.
    index = found * negative + cleared * positive
    best = len(index) - 1 - int(np.argmax(index[::-1]))
    return _threshold(values, found / positive, cleared / negative, best)


def sensitive_threshold(probabilities: Floats, labels: Floats, sensitivity: float) -> Threshold:
    """Return the highest threshold that finds at least this share of the positive rows.

    Args:
        probabilities: Of the positive class, shape (n,), of rows that were not trained on.
        labels: 0 or 1 per row, shape (n,), both present.
        sensitivity: Share to find, in (0, 1].

    Raises:
        DataError: If a class is missing, or the share is not above 0 and at most 1.
    """
    if not 0.0 < sensitivity <= 1.0:
        raise DataError(f"expected a sensitivity above 0 and at most 1, got {sensitivity}")
    values, found, cleared = _choices(probabilities, labels)
    positive, negative = (labels > 0.0).sum(), (labels <= 0.0).sum()
    best = int(np.flatnonzero(found / positive >= sensitivity)[-1])
    return _threshold(values, found / positive, cleared / negative, best)


def _choices(probabilities: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    # Every threshold that makes a difference, rising, each half-way between two probabilities; with
    # the numbers of positive rows above it and of negative rows not above it.
    positive = labels > 0.0
    if positive.all() or not positive.any():
        raise DataError(
            f"expected rows of both classes to choose a threshold by, got {positive.sum()} "
            f"positive and {(~positive).sum()} negative ones"
        )
    known = np.unique(probabilities)
    # The lowest calls every row positive, so it has to be below 0 where a probability is 0.
    lowest = 0.0 if known[0] > 0.0 else -1.0
    values = np.concatenate([[lowest], (known[1:] + known[:-1]) / 2.0])
    below = np.searchsorted(np.sort(probabilities[positive]), values, side="right")
    cleared = np.searchsorted(np.sort(probabilities[~positive]), values, side="right")
    return values, np.asarray(positive.sum() - below, np.float64), cleared.astype(np.float64)


def _threshold(values: Floats, sensitivity: Floats, specificity: Floats, place: int) -> Threshold:
    return Threshold(
        value=float(values[place]),
        sensitivity=float(sensitivity[place]),
        specificity=float(specificity[place]),
    )
