"""Bucketing: average rows in small groups that nobody can choose, before a rule sees them."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from fednode.aggregation.gram import Table
from fednode.aggregation.rows import scale_weights

BUCKET_ROWS: Final = 2


def bucket_rows(distances: Table, weights: Sequence[int], f: int) -> Table:
    """Return the averages of rows in buckets of two.

    Where the buckets would be too few for `f` bad ones among them (`2 f` or less), each row has a
    bucket of its own.

    Args:
        distances: Squared distances between the rows, n x n.
        weights: Contribution weights of at most `2**24`, in the order of the rows.
        f: Number of rows assumed Byzantine, `0 <= 2 f < n`.

    Returns:
        Integer weights, m x n: bucket `i` is `sum_j M[i][j] * row_j / sum(M[i])`. They are the
        contribution weights of its rows, all ones where those are all zero.

    References:
        Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via
        Bucketing", ICLR 2022, algorithm 1 with `s = 2`. Deviations: averages are weighted by
        contribution, and so are the buckets by that of all their rows; the order is not drawn at
        random but by hashes of all distances. *Why: every node must find the same buckets, and
        nobody should know them before all updates are there.*
    """
    n = len(distances)
    size = BUCKET_ROWS if (n + 1) // BUCKET_ROWS > 2 * f else 1
    order = _shuffled(distances)
    buckets = []
    for start in range(0, n, size):
        members = order[start : start + size]
        chosen = scale_weights([weights[i] for i in members])
        bucket = [0] * n
        for i, weight in zip(members, chosen, strict=True):
            bucket[i] = weight
        buckets.append(tuple(bucket))
    return tuple(buckets)


def _shuffled(distances: Table) -> list[int]:
    # The same for the same rows, in whichever order they come; ties go to the lower member index.
    lines = [repr(sorted(row)).encode() for row in distances]
    common = sha256(b"".join(sorted(lines))).digest()
    keys = [sha256(common + line).digest() for line in lines]
    return sorted(range(len(lines)), key=lambda i: (keys[i], i))
