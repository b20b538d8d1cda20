"""Mixed rows: nearest-neighbour mixing, and what any mixing does to distances and weights.

A mixed row is an average of rows. All of this happens on the table of distances, without touching
a tensor.
"""

from collections.abc import Sequence
from operator import mul
from typing import Final

from fednode.aggregation.gram import Table
from fednode.aggregation.rows import scale_weights

DISTANCE_BITS: Final = 32
"""Distances between mixed rows are in units of `2**-32` squared quanta, rounded down."""


def mix_nearest(distances: Table, weights: Sequence[int], f: int) -> Table:
    """Return what each row is replaced with: an average of its `n - f` nearest rows.

    A row is its own nearest; ties go to the lower member index.

    Args:
        distances: Squared distances between the rows, n x n.
        weights: Contribution weights of at most `2**24`, in the order of the rows.
        f: Number of rows assumed Byzantine, `0 <= f < n`.

    Returns:
        Integer weights, n x n: mixed row `i` is `sum_j M[i][j] * row_j / sum(M[i])`. They are the
        contribution weights of the nearest rows, all ones where those are all zero.

    References:
        Allouah et al., "Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity",
        AISTATS 2023, algorithm 2. Deviations: the average is weighted by contribution, and only
        its coefficients are computed here.
    """
    n = len(distances)
    mixing = []
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: (distances[i][j], j))
        nearest = [i, *others[: n - f - 1]]
        chosen = scale_weights([weights[j] for j in nearest])
        row = [0] * n
        for j, weight in zip(nearest, chosen, strict=True):
            row[j] = weight
        mixing.append(tuple(row))
    return tuple(mixing)


def mixed_distances(distances: Table, mixing: Table) -> Table:
    """Return the squared distances between mixed rows, times `2**32`, rounded down.

    With `P = M D M'` and the row sums `W` of `M`, the squared distance between mixed rows `a` and
    `b` is `P_ab / (W_a W_b) - P_aa / (2 W_a^2) - P_bb / (2 W_b^2)`: one division rounds it.

    Args:
        distances: Squared distances `D` between the rows, n x n.
        mixing: The integer weights `M` of the m mixed rows, m x n.
    """
    n = len(mixing)
    totals = [sum(row) for row in mixing]
    half = [[_dot(row, column) for column in distances] for row in mixing]
    product = [[_dot(left, right) for right in mixing] for left in half]

    def distance(a: int, b: int) -> int:
        wa, wb = totals[a], totals[b]
        numerator = 2 * product[a][b] * wa * wb - product[a][a] * wb**2 - product[b][b] * wa**2
        return (numerator << DISTANCE_BITS) // (2 * (wa * wb) ** 2)

    return tuple(tuple(distance(a, b) for b in range(n)) for a in range(n))


def unmix(coefficients: Sequence[int], mixing: Table) -> tuple[int, ...]:
    """Return the weights on the original rows that equal `coefficients` on the mixed rows.

    Args:
        coefficients: Non-negative integers, in the order of the mixed rows.
        mixing: The integer weights of the mixed rows, one line for each of them.

    Returns:
        Integers of at most `2**24`: the exact quotients rounded down twice, first in units of
        `2**-64` and then when the largest is scaled to `2**24`.
    """
    totals = [sum(row) for row in mixing]
    shares = [
        sum((a * row[j] << 64) // w for a, row, w in zip(coefficients, mixing, totals, strict=True))
        for j in range(len(mixing[0]))
    ]
    return scale_weights(shares)


def _dot(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(map(mul, left, right))
