"""The aggregation rules by name: pure functions from integer rows to one integer aggregate.

A rule id is the name of a base rule (`median`), or those of a pre-aggregation and a base rule
(`nnm-geometric-median`). A base rule is a combination, which chooses integer weights on the rows
from the exact table of their distances, or a rule by coordinate, which looks at the values of each
coordinate. `f` counts updates, whatever their contribution weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.centered_clipping import centered_clipping
from fednode.aggregation.coordinates import median, trimmed_mean
from fednode.aggregation.errors import AggregationError
from fednode.aggregation.geometric_median import geometric_median
from fednode.aggregation.gram import Table, gram_matrix, squared_distances
from fednode.aggregation.krum import krum, multi_krum
from fednode.aggregation.mean import weighted_mean
from fednode.aggregation.mixed_lines import by_coordinate
from fednode.aggregation.mixing import DISTANCE_BITS, mixed_distances, unmix
from fednode.aggregation.outliers import flag_outliers, squared_distances_to
from fednode.aggregation.preaggregation import PREAGGREGATIONS
from fednode.aggregation.rows import Lines, Row, scale_weights
from ledger.records import VALUE_MAX

Combination: TypeAlias = Callable[[Table, Sequence[int], int], tuple[int, ...]]
"""From squared distances, weights of at most 2**24 and `f` to the aggregate's weights."""
CoordinateRule: TypeAlias = Callable[[Lines, Sequence[int], int], Row]
"""From the values by coordinate, weights of at most 2**24 and `f` to one value each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """An aggregation rule of the contract.

    Attributes:
        rule_id: A name in `RULES`.
        f: Number of updates assumed Byzantine. When fewer updates are included than `2 f + 1`,
            or fewer buckets made of them, the rule works with the most that it can tolerate,
            `(n - 1) // 2`.

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

    Args:
        rule: The contract's rule.
        rows: One update per row in member order, each of shape (p,), magnitudes below `2**25`.
        weights: Contribution weights (rule P42), one non-negative integer per row; all zero means
            equal.

    Raises:
        AggregationError: If rows or weights are out of bounds or differ in number.
    """
    delta = combine(rule, rows, weights)
    flags = flag_outliers(squared_distances_to(delta, rows), delta.size)
    return Aggregate(delta=delta, flags=flags)


def combine(rule: RuleSpec, rows: Sequence[Row], weights: Sequence[int]) -> Row:
    """Return the change of the parameters that `aggregate` returns, without its flags."""
    if len(weights) != len(rows):
        raise AggregationError(f"expected {len(rows)} weights, got {len(weights)}")
    if not rows:
        raise AggregationError("expected 1 to 256 rows, got 0")
    scaled = scale_weights(weights)
    parts = RULES[rule.rule_id]
    if parts.preaggregation is None:
        return _combine(parts.base, rows, scaled, rule.f)
    return _mix_and_combine(parts.preaggregation, parts.base, rows, scaled, rule.f)


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


def _combine(base: str, rows: Sequence[Row], weights: Sequence[int], f: int) -> Row:
    f = _tolerable(f, len(rows))
    if base in COORDINATE_RULES:
        choose = COORDINATE_RULES[base]
        return by_coordinate(lambda lines: choose(lines, weights, f), rows, None)
    if base == MEAN:
        return weighted_mean(rows, weights)  # It looks at no distance, so none is computed.
    distances = squared_distances(gram_matrix(rows))
    # In the unit of mixed distances, so that lengths are much finer than a quantum.
    fine = tuple(tuple(value << DISTANCE_BITS for value in line) for line in distances)
    return weighted_mean(rows, COMBINATIONS[base](fine, weights, f))


def _mix_and_combine(
    preaggregation: str, base: str, rows: Sequence[Row], weights: Sequence[int], f: int
) -> Row:
    gram = gram_matrix(rows)
    mixture = PREAGGREGATIONS[preaggregation](gram, weights, _tolerable(f, len(rows)))
    f = _tolerable(f, len(mixture.weights))
    if base in COORDINATE_RULES:
        choose = COORDINATE_RULES[base]
        return by_coordinate(lambda lines: choose(lines, mixture.weights, f), rows, mixture.matrix)
    points: tuple[Row, ...] = tuple(rows)
    if len(mixture.matrix[0]) > len(rows):
        points = (*points, np.broadcast_to(np.int32(0), rows[0].shape))
        gram = (*((*line, 0) for line in gram), (0,) * len(points))
    table = mixed_distances(squared_distances(gram), mixture.matrix)
    coefficients = COMBINATIONS[base](table, mixture.weights, f)
    return weighted_mean(points, unmix(coefficients, mixture.matrix))


def _tolerable(f: int, count: int) -> int:
    return min(f, (count - 1) // 2)


def _mean(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    del distances, f  # The mean tolerates no Byzantine update and looks at no distance.
    return tuple(weights)


def _geometric_median(distances: Table, weights: Sequence[int], f: int) -> tuple[int, ...]:
    del f  # It withstands rows of less than half of the weight, whoever they are.
    return geometric_median(distances, weights)


MEAN: Final = "mean"
COMBINATIONS: Final[Mapping[str, Combination]] = MappingProxyType(
    {
        MEAN: _mean,
        "geometric-median": _geometric_median,
        "krum": krum,
        "multi-krum": multi_krum,
        "centered-clipping": centered_clipping,
    }
)
COORDINATE_RULES: Final[Mapping[str, CoordinateRule]] = MappingProxyType(
    {"median": median, "trimmed-mean": trimmed_mean}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleParts:
    """What a rule id stands for: keys of `PREAGGREGATIONS` (None for none) and of a base rule."""

    preaggregation: str | None
    base: str


RULES: Final[Mapping[str, RuleParts]] = MappingProxyType(
    {
        base if step is None else f"{step}-{base}": RuleParts(preaggregation=step, base=base)
        for step in (None, *PREAGGREGATIONS)
        for base in (*COMBINATIONS, *COORDINATE_RULES)
    }
)
