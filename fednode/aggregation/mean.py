"""The exact weighted mean: one integer sum and one rounded division per coordinate."""

from collections.abc import Sequence
from math import gcd
from typing import Final

import numpy as np

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.rows import Row, check_rows, scale_weights

BLOCK_COLUMNS: Final = 2**13
"""Columns summed at a time, so that the sums stay in the processor's cache."""
INT32_MAX: Final = 2**31 - 1


def weighted_mean(rows: Sequence[Row], weights: Sequence[int]) -> Row:
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
    largest = check_rows(rows)
    if len(weights) != len(rows):
        raise AggregationError(f"expected {len(rows)} weights, got {len(weights)}")
    scaled = scale_weights(weights)
    # A common divisor changes no quotient: the sum without it is an integer, so that half of an
    # odd total only ever decides between two integers.
    divisor = gcd(*scaled)
    terms = [(row, weight // divisor) for row, weight in zip(rows, scaled, strict=True) if weight]
    total = sum(weight for _, weight in terms)
    is_narrow = total * max(1, largest) + total // 2 <= INT32_MAX
    number: type[np.int32 | np.int64] = np.int32 if is_narrow else np.int64
    columns = rows[0].size
    mean = np.empty(columns, np.int32)
    sums = np.empty(min(BLOCK_COLUMNS, columns), number)
    products = np.empty_like(sums)
    for start in range(0, columns, BLOCK_COLUMNS):
        stop = min(start + BLOCK_COLUMNS, columns)
        block_sums, block_products = sums[: stop - start], products[: stop - start]
        block_sums.fill(total // 2)
        for row, weight in terms:
            if weight == 1:
                np.add(block_sums, row[start:stop], out=block_sums)
                continue
            block_products[:] = row[start:stop]
            block_products *= weight
            block_sums += block_products
        # Floor division means the same in numpy and in Python, also below zero.
        np.floor_divide(block_sums, total, out=block_sums)
        mean[start:stop] = block_sums
    return mean
