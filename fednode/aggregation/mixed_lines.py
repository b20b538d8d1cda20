"""The values of all rows, or of averages of them, coordinate by coordinate in blocks."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.gram import FLOAT_SUM_MAX, LIMB_BITS, Table
from fednode.aggregation.rows import ROW_VALUE_MAX, WEIGHT_MAX, Lines, Row, check_rows
from ledger.kinds import MEMBERS_MAX

BLOCK_COLUMNS: Final = 2**12
"""Coordinates handled at a time: besides the result, memory does not grow with the rows."""

LineRule: TypeAlias = Callable[[Lines], Row]
"""From lines to one value each, shape (k,)."""

# The parts of a sum of limbs are exact in float64, and together they fit int64.
assert MEMBERS_MAX * WEIGHT_MAX * 2**LIMB_BITS < FLOAT_SUM_MAX
assert MEMBERS_MAX * WEIGHT_MAX * (ROW_VALUE_MAX + 1) < 2**62


def by_coordinate(rule: LineRule, rows: Sequence[Row], matrix: Table | None) -> Row:
    """Apply a rule to each coordinate of the rows, or of averages of them rounded half up.

    Rows are read block by block, so memory-mapped rows are never copied whole.

    Args:
        rule: What makes one value of each line.
        rows: One update per row, each of shape (p,), magnitudes below `2**25`.
        matrix: Integer weights of at most `2**24` of the averages, m x n or, with a last column
            for a row of zeros, m x (n + 1); None for the rows themselves.

    Returns:
        Values, shape (p,).

    Raises:
        AggregationError: If the rows are out of bounds.
    """
    largest = check_rows(rows)
    columns = rows[0].size
    result = np.empty(columns, np.int32)
    block = np.empty((len(rows), min(BLOCK_COLUMNS, columns)), np.int32)
    for start in range(0, columns, BLOCK_COLUMNS):
        stop = min(start + BLOCK_COLUMNS, columns)
        values = block[:, : stop - start]
        for index, row in enumerate(rows):
            values[index] = row[start:stop]
        if matrix is not None:
            values = mix_values(values, matrix, largest)
        result[start:stop] = rule(np.ascontiguousarray(values.T))
    return result


def mix_values(values: NDArray[np.int32], matrix: Table, largest: int) -> NDArray[np.int32]:
    """Return averages of rows, rounded half up.

    Args:
        values: Rows, shape (n, k).
        matrix: As `by_coordinate` takes it.
        largest: The largest magnitude in `values`, or more.

    Returns:
        Averages, shape (m, k).
    """
    totals = [sum(line) for line in matrix]
    # Without the column of the origin, which adds nothing but weight.
    factors = np.array([line[: len(values)] for line in matrix], np.float64)
    if max(totals) * largest < FLOAT_SUM_MAX:
        sums = (factors @ values.astype(np.float64)).astype(np.int64)
    else:
        high = factors @ np.right_shift(values, LIMB_BITS).astype(np.float64)
        low = factors @ np.bitwise_and(values, 2**LIMB_BITS - 1).astype(np.float64)
        sums = (high.astype(np.int64) << LIMB_BITS) + low.astype(np.int64)
    mixed = np.empty(sums.shape, np.int32)
    for line, total in enumerate(totals):
        mixed[line] = (sums[line] + total // 2) // total
    return mixed
