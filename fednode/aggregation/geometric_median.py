"""The geometric median as weights on the rows, computed on the table of distances alone."""

from collections.abc import Sequence
from math import isqrt
from operator import mul
from typing import Final

from fednode.aggregation.gram import Table

ITERATIONS: Final = 32
WEIGHT_BITS: Final = 64
"""Weights are divided by distances in units of `2**-64`."""
SMOOTHING_BITS: Final = 10
"""No distance counts as less than `2**-10` of the median distance."""


def geometric_median(distances: Table, weights: Sequence[int]) -> tuple[int, ...]:
    """Return the weights whose mean of the rows is their weighted geometric median.

    The median minimises the weighted sum of distances to the rows; less than half of the weight,
    placed anywhere, cannot move it arbitrarily far.

    Args:
        distances: Squared distances between the rows, n x n, in any unit that makes one
            `isqrt` step negligible.
        weights: Contribution weights of at most `2**24`, not all zero, in the order of the rows;
            they are also the weights that the iteration starts from.

    Returns:
        Integer weights of the rows, not scaled.

    References:
        Weiszfeld 1937; smoothed as in Pillutla et al., "Robust Aggregation for Federated
        Learning", IEEE TSP 2022, algorithm 2. Deviations: 32 iterations always, integers, and the
        smoothing follows the lower median of the distances. *Why: with a fixed tiny smoothing, a
        row placed exactly on the starting point would hold the iteration there; with one that
        follows the largest distance, a far row would turn the median into the mean.*
    """
    current = tuple(weights)
    for _ in range(ITERATIONS):
        radii = _distances_to_mean(distances, current)
        smallest = max(1, sorted(radii)[(len(radii) - 1) // 2] >> SMOOTHING_BITS)
        current = tuple(
            (weight << WEIGHT_BITS) // max(smallest, radius)
            for weight, radius in zip(weights, radii, strict=True)
        )
    return current


def spread_from_mean(distances: Table, weights: Sequence[int]) -> tuple[int, ...]:
    """Return squared distances from the rows to their weighted mean, times `2 * sum(weights)^2`.

    With `a` the weights, `A` their sum and `D` the table, `||x_i - z||^2` is
    `(2 A (D a)_i - a' D a) / (2 A^2)`. Exact, so never negative where the table is exact.

    Args:
        distances: Squared distances between the rows, n x n.
        weights: Non-negative integers, not all zero.
    """
    total = sum(weights)
    sums = [sum(map(mul, row, weights)) for row in distances]
    inner = sum(map(mul, sums, weights))
    return tuple(2 * total * value - inner for value in sums)


def _distances_to_mean(distances: Table, weights: Sequence[int]) -> tuple[int, ...]:
    unit = 2 * sum(weights) ** 2
    # Below zero only by the rounding of the table.
    return tuple(isqrt(max(0, value) // unit) for value in spread_from_mean(distances, weights))
