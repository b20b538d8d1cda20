"""Rules that look at each coordinate for itself: the median and the trimmed mean.

They get *lines*: one line per coordinate with the values of all rows, so that sorting runs over
neighbours in memory.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.rows import ROW_VALUE_MAX, WEIGHT_MAX, Lines, Row
from ledger.kinds import MEMBERS_MAX

RANK_BITS: Final = 8
"""A sort key is a value and, below it, the rank of the row's weight."""

assert MEMBERS_MAX <= 2**RANK_BITS
assert (ROW_VALUE_MAX + 1) << RANK_BITS < 2**63
assert MEMBERS_MAX * WEIGHT_MAX * (ROW_VALUE_MAX + 1) < 2**62


def median(lines: Lines, weights: Sequence[int], f: int) -> Row:
    """Return the weighted median of each coordinate, rounded half up.

    The weighted median is the middle between the least value that half of the weight does not
    exceed and the greatest value that half of the weight reaches; with equal weights it is the
    ordinary median. Rows of less than half of the weight cannot move it beyond the values of the
    others.

    Args:
        lines: The values of all rows by coordinate, shape (p, n), magnitudes below `2**25`.
        weights: Contribution weights of at most `2**24`, not all zero, in the order of the rows.
        f: Not needed.

    Returns:
        Medians, shape (p,).

    References:
        Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        ICML 2018, definition 1. Deviations: weighted by contribution, rounded.
    """
    del f
    n = lines.shape[1]
    if len(set(weights)) == 1:
        ordered = np.sort(lines, axis=1)
        middle: Row = (ordered[:, (n - 1) // 2] + ordered[:, n // 2] + 1) >> 1
        return middle
    values, masses = _ranked(lines, weights)
    reached = 2 * np.cumsum(masses, axis=1)
    total = sum(weights)
    each = np.arange(len(lines))
    low = values[each, np.count_nonzero(reached < total, axis=1)]
    high = values[each, np.count_nonzero(reached <= total, axis=1)]
    return np.asarray((low + high + 1) >> 1, np.int32)


def trimmed_mean(lines: Lines, weights: Sequence[int], f: int) -> Row:
    """Average each coordinate without its `f` smallest and `f` largest values, rounded half up.

    Every result lies between the smallest and the largest value of the rows that are honest, if at
    most `f` are not. Of equal values those with less weight count as smaller, so that the order of
    the rows never matters.

    Args:
        lines: The values of all rows by coordinate, shape (p, n), magnitudes below `2**25`.
        weights: Contribution weights of at most `2**24`, in the order of the rows: the average of
            what is left is weighted, and plain where what is left has no weight. Trimming counts
            rows.
        f: Number of rows assumed Byzantine, `0 <= 2 f < n`.

    Returns:
        Trimmed means, shape (p,).

    References:
        Yin et al. 2018, definition 2, with `f = beta * n`. Deviations: weighted by contribution,
        rounded.
    """
    n = lines.shape[1]
    if len(set(weights)) == 1:
        kept = np.sort(lines, axis=1)[:, f : n - f]
        # Exact: sums of at most 256 integers below 2**25.
        sums = (kept.astype(np.float64) @ np.ones(n - 2 * f)).astype(np.int64)
        return _rounded_quotients(sums, n - 2 * f)
    values, masses = (part[:, f : n - f] for part in _ranked(lines, weights))
    totals = masses.sum(axis=1)
    bare = totals == 0
    masses[bare], totals[bare] = 1, n - 2 * f
    return _rounded_quotients((values * masses).sum(axis=1), totals)


def _ranked(lines: Lines, weights: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # The values of each line in order, and the weights of the rows that they come from.
    n = lines.shape[1]
    ascending = sorted(range(n), key=lambda i: weights[i])
    ranks = np.empty(n, np.int64)
    ranks[ascending] = np.arange(n)
    keys = np.left_shift(lines, RANK_BITS, dtype=np.int64)
    keys |= ranks
    keys.sort(axis=1)
    masses = np.array([weights[i] for i in ascending], np.int64)
    return np.right_shift(keys, RANK_BITS), masses[np.bitwise_and(keys, 2**RANK_BITS - 1)]


def _rounded_quotients(sums: NDArray[np.int64], totals: NDArray[np.int64] | int) -> Row:
    return ((sums + totals // 2) // totals).astype(np.int32)
