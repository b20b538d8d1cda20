"""Norm clipping: shorten the longest rows, before a rule sees them."""

from collections.abc import Sequence
from math import isqrt
from typing import Final

from fednode.aggregation.gram import Table

FACTOR_BITS: Final = 24
"""A row keeps a multiple of `2**-24` of its length."""


def clip_norms(squared_norms: Sequence[int], f: int) -> Table:
    """Return each row shortened to at most the length that the honest rows are sure to show.

    Of `n` rows the `2 f (n - f) / n` longest (rounded down) are shortened to the length of the next
    one. The origin, which stands for no change of the parameters, counts as one more row: a
    shortened row is an average of itself and the origin. Lengths do not depend on contribution
    weights.

    Args:
        squared_norms: Squared lengths of the n rows.
        f: Number of rows assumed Byzantine, `0 <= 2 f < n`.

    Returns:
        Integer weights, n x (n + 1), of sum `2**24` in each line; the last column is the origin's.

    References:
        Allouah et al., "Adaptive Gradient Clipping for Robust Federated Learning", ICLR 2025,
        algorithm 2 (ARC). Deviation: factors are rounded down to multiples of `2**-24`.
    """
    n = len(squared_norms)
    clipped = 2 * f * (n - f) // n
    limit = sorted(squared_norms)[n - clipped - 1]
    lines = []
    for i, squared in enumerate(squared_norms):
        factor = 1 << FACTOR_BITS
        if squared > limit:
            factor = isqrt((limit << 2 * FACTOR_BITS) // squared)
        line = [0] * (n + 1)
        line[i], line[n] = factor, (1 << FACTOR_BITS) - factor
        lines.append(tuple(line))
    return tuple(lines)
