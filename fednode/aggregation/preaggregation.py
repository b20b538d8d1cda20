"""What is done to the rows before a rule: each step turns rows into averages of rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from fednode.aggregation.bucketing import bucket_rows
from fednode.aggregation.gram import Table, squared_distances
from fednode.aggregation.mixing import mix_nearest
from fednode.aggregation.norm_clipping import clip_norms
from fednode.aggregation.rows import scale_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Rows that are averages of the given ones.

    Attributes:
        matrix: Integer weights, m x n or m x (n + 1): mixed row `i` is
            `sum_j matrix[i][j] * row_j / sum(matrix[i])`. A last column beyond the rows is the
            origin's, a row of zeros.
        weights: Contribution weights of the mixed rows, at most `2**24`, not all zero.
    """

    matrix: Table
    weights: tuple[int, ...]


Preaggregation: TypeAlias = Callable[[Table, Sequence[int], int], Mixture]
"""From the rows' inner products, weights of at most 2**24 and `f` to mixed rows."""


def _nnm(gram: Table, weights: Sequence[int], f: int) -> Mixture:
    matrix = mix_nearest(squared_distances(gram), weights, f)
    return Mixture(matrix=matrix, weights=tuple(weights))


def _bucketing(gram: Table, weights: Sequence[int], f: int) -> Mixture:
    matrix = bucket_rows(squared_distances(gram), weights, f)
    sums = [sum(w for w, share in zip(weights, line, strict=True) if share) for line in matrix]
    return Mixture(matrix=matrix, weights=scale_weights(sums))


def _norm_clipping(gram: Table, weights: Sequence[int], f: int) -> Mixture:
    squared_norms = [line[i] for i, line in enumerate(gram)]
    return Mixture(matrix=clip_norms(squared_norms, f), weights=tuple(weights))


PREAGGREGATIONS: Final[Mapping[str, Preaggregation]] = MappingProxyType(
    {"nnm": _nnm, "bucketing": _bucketing, "norm-clipping": _norm_clipping}
)
