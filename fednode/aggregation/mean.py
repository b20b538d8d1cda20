"""The exact weighted mean: one integer sum and one rounded division per coordinate."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.rows import check_rows, scale_weights

BLOCK_COLUMNS: Final = 2**15
"""Columns summed at a time, so that the sums stay in the processor's cache."""


def weighted_mean(rows: Sequence[NDArray[np.int32]], weights: Sequence[int]) -> NDArray[np.int32]:
    """Average rows coordinate by coordinate, rounded half up to integers.

    Every coordinate lies between the smallest and the largest of that coordinate in the rows.

    Args:
        rows: One update per row, each of shape (p,), magnitudes below `2**25`.
        weights: One non-negative integer per row; scaled to at most `2**24` first, and all zero
            means equal.

    Returns:
        Mean, shape (p,): `floor((sum_i a_i * row_i + A // 2) / A)` with scaled weights `a_i` of
        sum `A`.

    Raises:
        AggregationError: If rows or weights are out of bounds or differ in number.

    Examples:
        >>> rows = [np.array([1, -1], np.int32), np.array([2, -2], np.int32)]
        >>> weighted_mean(rows, [1, 1])
        array([ 2, -1], dtype=int32)
    """
    check_rows(rows)
    if len(weights) != len(rows):
        raise AggregationError(f"expected {len(rows)} weights, got {len(weights)}")
    scaled = scale_weights(weights)
    total = sum(scaled)
    columns = rows[0].size
    mean = np.empty(columns, np.int32)
    width = min(BLOCK_COLUMNS, columns)
    sums = np.empty(width, np.int64)
    terms = np.empty(width, np.int64)
    for start in range(0, columns, BLOCK_COLUMNS):
        stop = min(start + BLOCK_COLUMNS, columns)
        block_sums, block_terms = sums[: stop - start], terms[: stop - start]
        block_sums.fill(total // 2)
        for row, weight in zip(rows, scaled, strict=True):
            np.multiply(row[start:stop], weight, out=block_terms, dtype=np.int64)
            np.add(block_sums, block_terms, out=block_sums)
        # Floor division means the same in numpy and in Python, also below zero.
        np.floor_divide(block_sums, total, out=block_sums)
        mean[start:stop] = block_sums
    return mean
