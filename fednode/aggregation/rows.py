"""What every rule may rely on in its input rows and weights, and the bounds that follow."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.errors import AggregationError
from ledger.kinds import MEMBERS_MAX

Row: TypeAlias = NDArray[np.int32]
"""One update in quanta, shape (p,)."""
Lines: TypeAlias = NDArray[np.int32]
"""The values of all rows by coordinate, shape (k, n): one line per coordinate."""

BLOCK_COLUMNS: Final = 2**13
"""Columns looked at in one go, so that what is read twice is still in the processor's cache."""
ROW_VALUE_MAX: Final = 2**25 - 1
"""Largest magnitude in a row: one bit more than a value, for the difference of two values."""
COLUMNS_MAX: Final = 2**32
"""Longest row; the sums of the Gram matrix are bounded with it."""
WEIGHT_MAX: Final = 2**24
"""Largest weight that ever touches a tensor."""

# numpy's int64 overflow is silent: this is the bound of every weighted sum, with room for half the
# divisor that rounding adds.
assert MEMBERS_MAX * WEIGHT_MAX * (ROW_VALUE_MAX + 1) < 2**62


def check_rows(rows: Sequence[Row]) -> int:
    """Check that rows can be aggregated and return the largest magnitude in them.

    Args:
        rows: One update per row, each of shape (p,), int32.

    Raises:
        AggregationError: If there is no row or more than 256, a row is not an int32 vector, the
            lengths differ, or a magnitude exceeds `2**25 - 1`.
    """
    if not 1 <= len(rows) <= MEMBERS_MAX:
        raise AggregationError(f"expected 1 to {MEMBERS_MAX} rows, got {len(rows)}")
    shape = rows[0].shape
    largest = 0
    for index, row in enumerate(rows):
        if row.dtype != np.dtype(np.int32) or row.ndim != 1 or row.shape != shape:
            raise AggregationError(
                f"expected int32 rows of shape {shape}, got {row.dtype} {row.shape} in row {index}"
            )
        if row.size > COLUMNS_MAX:
            raise AggregationError(f"expected at most {COLUMNS_MAX} columns, got {row.size}")
        magnitude = _magnitude(row)
        if magnitude > ROW_VALUE_MAX:
            raise AggregationError(
                f"expected magnitudes up to {ROW_VALUE_MAX}, got {magnitude} in row {index}"
            )
        largest = max(largest, magnitude)
    return largest


def scale_weights(weights: Sequence[int]) -> tuple[int, ...]:
    """Return weights of at most `2**24` in the same proportions; all ones if all are zero.

    Weights that fit already stay as they are, so that small weights give exact averages.

    Args:
        weights: Non-negative integers of any size, in the order of the rows.

    Raises:
        AggregationError: If a weight is negative.
    """
    if min(weights) < 0:
        raise AggregationError(f"expected weights of 0 or more, got {list(weights)}")
    largest = max(weights)
    if largest == 0:
        return (1,) * len(weights)
    if largest <= WEIGHT_MAX:
        return tuple(weights)
    return tuple(weight * WEIGHT_MAX // largest for weight in weights)


def _magnitude(row: Row) -> int:
    largest = 0
    for start in range(0, row.size, BLOCK_COLUMNS):
        block = row[start : start + BLOCK_COLUMNS]
        # Not abs(): that of -2**31 overflows to itself.
        largest = max(largest, int(block.max()), -int(block.min()))
    return largest
