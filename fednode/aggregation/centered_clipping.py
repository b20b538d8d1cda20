"""Centered clipping: from a row in the middle, let every row pull only so far."""

from collections.abc import Sequence
from math import isqrt
from typing import Final

from fednode.aggregation.geometric_median import spread_from_mean
from fednode.aggregation.gram import Table

ITERATIONS: Final = 8
PULL_BITS: Final = 24
"""A pull is clipped to a multiple of `2**-24` of the way to the row."""
CENTER_BITS: Final = 64
"""The center is kept as weights on the rows in units of about `2**-64`."""


def centered_clipping(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    """Return the weights of a center to which every row pulled with limited strength.

    Each step moves the center by the weighted average of the differences to the rows, each
    shortened to the lower median of their lengths. So a far row moves it no farther than a row in
    the middle does. Contribution weights are the strength of the pulls; where to begin and the
    median count rows.

    Args:
        distances: Squared distances between the rows, n x n, in any unit that makes one
            `isqrt` step negligible.
        weights: Contribution weights of at most `2**24`, not all zero, in the order of the rows.
        f: Not needed: less than half of the rows cannot move the median beyond the others.

    Returns:
        Integer weights of the rows, not scaled.

    References:
        Karimireddy et al., "Learning from History for Byzantine Robust Optimization", ICML 2021,
        section 4. Deviations: eight steps; the radius is the lower median of the distances at each
        step instead of a constant; and the first center is the row whose upper median distance to
        the rows is least (ties go to the lower member index) instead of the aggregate before.
        *Why: rules know no history and no unit. Worker momentum carries the history.*
    """
    del f
    total = sum(weights)
    start = _middle_row(distances)
    center = tuple(int(i == start) << CENTER_BITS for i in range(len(weights)))
    for _ in range(ITERATIONS):
        unit = 2 * sum(center) ** 2
        # Below zero only by the rounding of the table.
        spread = spread_from_mean(distances, center)
        lengths = [isqrt(max(0, value) // unit) for value in spread]
        radius = sorted(lengths)[(len(lengths) - 1) // 2]
        pulls = [
            weight * min(1 << PULL_BITS, (radius << PULL_BITS) // max(1, length))
            for weight, length in zip(weights, lengths, strict=True)
        ]
        rest = (total << PULL_BITS) - sum(pulls)
        mass = sum(center)
        center = tuple(
            (share * rest + mass * pull) // (total << PULL_BITS)
            for share, pull in zip(center, pulls, strict=True)
        )
    return center


def _middle_row(distances: Table) -> int:
    n = len(distances)
    return min(range(n), key=lambda i: (sorted(distances[i])[n // 2], i))
