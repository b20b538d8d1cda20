"""Krum and multi-Krum: trust the rows that have many others close by."""

from collections.abc import Sequence

from fednode.aggregation.gram import Table
from fednode.aggregation.rows import scale_weights


def krum(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    """Choose the one row that lies closest to its nearest rows.

    Contribution weights do not matter: the rule names a row, and counts rows to find it.

    Args:
        distances: Squared distances between the rows, n x n, in any unit.
        weights: Contribution weights, in the order of the rows.
        f: Number of rows assumed Byzantine, `0 <= 2 f < n`.

    Returns:
        One for the row with the lowest score (ties go to the lower member index), else zero.

    References:
        Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
        NeurIPS 2017, section 4. Deviation: a score adds the squared distances to the `n - f`
        nearest rows, the row itself among them, where the paper has the `n - f - 2` nearest others.
        *Why: it is defined for every `f` below half, and byzfl takes as many.*
    """
    best = _ranked(distances, f)[0]
    return tuple(int(i == best) for i in range(len(weights)))


def multi_krum(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    """Choose the `n - f` rows with the lowest scores of Krum and keep their contribution weights.

    Args:
        distances: Squared distances between the rows, n x n, in any unit.
        weights: Contribution weights, in the order of the rows; rows are scored and counted
            without them. All ones where those of the chosen rows are all zero.
        f: Number of rows assumed Byzantine, `0 <= 2 f < n`.

    Returns:
        The weights of the chosen rows, zero for the others.

    References:
        Blanchard et al. 2017, section 4, "m-Krum" with `m = n - f`; scores as in `krum`.
    """
    chosen = sorted(_ranked(distances, f)[: len(weights) - f])
    combined = [0] * len(weights)
    for i, weight in zip(chosen, scale_weights([weights[i] for i in chosen]), strict=True):
        combined[i] = weight
    return tuple(combined)


def _ranked(distances: Table, f: int) -> list[int]:
    n = len(distances)
    scores = [sum(sorted(row)[: n - f]) for row in distances]
    return sorted(range(n), key=lambda i: (scores[i], i))
