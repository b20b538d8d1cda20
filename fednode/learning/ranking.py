"""Figures that depend on the order of predictions only: AUC and the concordance index."""

from bisect import bisect_left, bisect_right, insort
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
_POSITIVE = 0.5


def area_under_curve(scores: Floats, labels: Floats) -> float:
    """Return the chance that a positive row scores above a negative one, ties counted half.

    Args:
        scores: One score per row, shape (n,).
        labels: 0 or 1 per row, shape (n,), both present.

    Examples:
        >>> area_under_curve(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
        0.875

    References:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.
    """
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2.0
    positive = labels > _POSITIVE
    n_positive = int(positive.sum())
    n_negative = len(labels) - n_positive
    rank_sum = float(rank[place][positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative)


def macro_area_under_curve(probabilities: Floats, labels: Floats) -> float:
    """Return the mean over classes of the AUC of each against all others, all weighing the same.

    Classes that do not occur are left out, since no row could rank above the others.

    Args:
        probabilities: Of each class, shape (n, classes).
        labels: Class indices, shape (n,), of at least two classes.
    """
    present = np.unique(labels).astype(np.int64)
    areas = [
        area_under_curve(probabilities[:, each], (labels == each).astype(np.float64))
        for each in present
    ]
    return float(np.mean(areas))


def concordance(hazards: Floats, times: Floats, events: Floats) -> float | None:
    """Return Harrell's c-index: the share of comparable pairs whose earlier event had more hazard.

    Two rows are comparable if one had its event before the other's time, or at the other's time
    while the other had none. Pairs of equal hazards count half. It takes of the order of n log n
    comparisons.

    Args:
        hazards: The higher, the sooner the event is predicted, shape (n,).
        times: Of event or end of observation, shape (n,).
        events: 1 for an event, 0 for none, shape (n,).

    Returns:
        The share, or None if no pair is comparable.

    Examples:
        >>> concordance(np.array([2.0, 1.0, 3.0]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 1, 0]))
        0.3333333333333333

    References:
        Harrell et al., "Evaluating the Yield of Medical Tests", JAMA 1982; ties as in Therneau and
        Atkinson's vignette "Concordance" of the R package survival: pairs that died together are
        not comparable.
    """
    order = np.lexsort((events, -times))
    later: list[float] = []  # hazards of the rows known to have lived longer, sorted
    waiting: list[float] = []  # those of events at the present time
    won, pairs, now = 0.0, 0, np.inf
    for hazard, time, event in zip(
        hazards[order].tolist(), times[order].tolist(), events[order].tolist(), strict=True
    ):
        if time != now:
            for each in waiting:
                insort(later, each)
            waiting, now = [], time
        if not event:
            insort(later, hazard)
            continue
        below = bisect_left(later, hazard)
        won += below + (bisect_right(later, hazard, lo=below) - below) / 2.0
        pairs += len(later)
        waiting.append(hazard)
    return won / pairs if pairs else None
