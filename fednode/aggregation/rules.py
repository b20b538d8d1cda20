"""The aggregation rules by name: pure functions from integer rows to one integer aggregate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.geometric_median import geometric_median
from fednode.aggregation.gram import Table, gram_matrix, squared_distances
from fednode.aggregation.mean import weighted_mean
from fednode.aggregation.mixing import mix_nearest, mixed_distances, unmix
from fednode.aggregation.outliers import flag_outliers
from fednode.aggregation.rows import scale_weights
from ledger.records import VALUE_MAX

Combination: TypeAlias = Callable[[Table, Sequence[int], int], tuple[int, ...]]
"""From squared distances, weights of at most 2**24 and `f` to the aggregate's weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """An aggregation rule of the contract.

    Attributes:
        rule_id: A name in `RULES`.
        f: Number of updates assumed Byzantine. When fewer updates are included than `2 f + 1`,
            the rule works with the most that it can tolerate, `(n - 1) // 2`.

    Raises:
        AggregationError: If the rule is unknown or `f` is negative.
    """

    rule_id: str
    f: int

    def __post_init__(self) -> None:
        """Refuse a rule that cannot be carried out."""
        if self.rule_id not in RULES:
            raise AggregationError(f"expected a rule of {sorted(RULES)}, got {self.rule_id!r}")
        if self.f < 0:
            raise AggregationError(f"expected f of 0 or more, got {self.f}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregate:
    """What a rule makes of the included updates.

    Attributes:
        delta: Change of the parameters in quanta, shape (p,), int32.
        flags: One per update, true for an outlier (rule P40).
    """

    delta: NDArray[np.int32]
    flags: tuple[bool, ...]


def aggregate(
    rule: RuleSpec, rows: Sequence[NDArray[np.int32]], weights: Sequence[int]
) -> Aggregate:
    """Combine updates by a rule; the same bytes on every machine.

    A rule only chooses integer weights on the rows from the exact table of their distances; the
    aggregate is then their exact weighted mean, rounded once.

    Args:
        rule: The contract's rule.
        rows: One update per row in member order, each of shape (p,), magnitudes below `2**25`.
        weights: Contribution weights (rule P42), one non-negative integer per row; all zero means
            equal.

    Raises:
        AggregationError: If rows or weights are out of bounds or differ in number.
    """
    if len(weights) != len(rows):
        raise AggregationError(f"expected {len(rows)} weights, got {len(weights)}")
    distances = squared_distances(gram_matrix(rows))
    f = min(rule.f, (len(rows) - 1) // 2)
    combined = RULES[rule.rule_id](distances, scale_weights(weights), f)
    return Aggregate(
        delta=weighted_mean(rows, combined),
        flags=flag_outliers(distances, combined, rows[0].size),
    )


def apply_delta(parameters: NDArray[np.int32], delta: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the next parameters: the sum, saturated at `+-VALUE_MAX` (rule P5).

    This is the server step of FedAvg with rate 1, which has no state.

    Args:
        parameters: Current parameters in quanta, shape (p,), magnitudes up to `VALUE_MAX`.
        delta: An aggregate's change, shape (p,).

    Raises:
        AggregationError: If the shapes differ.
    """
    if parameters.shape != delta.shape:
        raise AggregationError(f"expected a delta of {parameters.shape}, got {delta.shape}")
    # Two magnitudes below 2**25 cannot overflow int32.
    total = np.add(parameters, delta)
    np.clip(total, -VALUE_MAX, VALUE_MAX, out=total)
    return total


def _mean(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    del distances, f  # The mean tolerates no Byzantine update and looks at no distance.
    return tuple(weights)


def _nnm_geometric_median(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    mixing = mix_nearest(distances, weights, f)
    return unmix(geometric_median(mixed_distances(distances, mixing), weights), mixing)


RULES: Final[Mapping[str, Combination]] = MappingProxyType(
    {"mean": _mean, "nnm-geometric-median": _nnm_geometric_median}
)
