"""Exact inner products of integer rows through float64 matrix products.

A product of float64 matrices is exact in any order of summation, with or without fused
multiply-add, as long as every partial sum is an integer below 2**53. Values of 25 bits are
therefore split into limbs of 13 bits and multiplied in blocks of columns; block results are added
as int64 and limbs put together as Python integers. All values are integers, so a process that
flushes subnormal numbers to zero computes the same.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.rows import COLUMNS_MAX, ROW_VALUE_MAX, check_rows

Table: TypeAlias = tuple[tuple[int, ...], ...]
"""A symmetric n x n table of Python integers, in the order of the rows."""

BLOCK_COLUMNS: Final = 2**12
LIMB_BITS: Final = 13
FLOAT_SUM_MAX: Final = 2**53
INT64_SUM_MAX: Final = 2**63 - 1

# The low limb lies in 0 .. 2**13 - 1, the high limb in -2**12 .. 2**12 - 1.
assert (ROW_VALUE_MAX + 1) >> LIMB_BITS < 2**LIMB_BITS
assert 4**LIMB_BITS * BLOCK_COLUMNS < FLOAT_SUM_MAX
assert 4**LIMB_BITS * COLUMNS_MAX < INT64_SUM_MAX


def gram_matrix(rows: Sequence[NDArray[np.int32]]) -> Table:
    """Return the exact inner products of all pairs of rows.

    The result depends on nothing but the rows: not on the BLAS library, its threads or the
    processor. Rows are read block by block, so memory-mapped rows are never copied whole.

    Args:
        rows: One update per row, each of shape (p,), magnitudes below `2**25`.

    Returns:
        Inner products, n x n Python integers.

    Raises:
        AggregationError: If the rows are out of bounds.

    Examples:
        >>> gram_matrix([np.array([1, 2], np.int32), np.array([3, -1], np.int32)])
        ((5, 1), (1, 10))
    """
    largest = check_rows(rows)
    n, columns = len(rows), rows[0].size
    fits_floats = largest**2 * BLOCK_COLUMNS < FLOAT_SUM_MAX
    if fits_floats and largest**2 * columns < INT64_SUM_MAX:
        return _to_table(_limb_products(rows, limbs=1).astype(object))
    products = _limb_products(rows, limbs=2).astype(object)
    high, low = slice(0, n), slice(n, 2 * n)
    mixed = products[high, low] + products[low, high]
    return _to_table(
        products[high, high] * 4**LIMB_BITS + mixed * 2**LIMB_BITS + products[low, low]
    )


def squared_distances(gram: Table) -> Table:
    """Return the exact squared Euclidean distances between rows, given their inner products."""
    n = len(gram)
    return tuple(
        tuple(gram[i][i] + gram[j][j] - 2 * gram[i][j] for j in range(n)) for i in range(n)
    )


def _limb_products(rows: Sequence[NDArray[np.int32]], *, limbs: int) -> NDArray[np.int64]:
    # The rows of the product are all high limbs and then all low limbs, or the rows themselves.
    n, columns = len(rows), rows[0].size
    floats = np.empty((limbs * n, BLOCK_COLUMNS), np.float64)
    limb = np.empty(BLOCK_COLUMNS, np.int32)
    product = np.empty((limbs * n, limbs * n), np.float64)
    total = np.zeros((limbs * n, limbs * n), np.int64)
    for start in range(0, columns, BLOCK_COLUMNS):
        stop = min(start + BLOCK_COLUMNS, columns)
        block, part = floats[:, : stop - start], limb[: stop - start]
        for index, row in enumerate(rows):
            values = row[start:stop]
            if limbs == 1:
                block[index] = values
            else:
                np.right_shift(values, LIMB_BITS, out=part)
                block[index] = part
                np.bitwise_and(values, 2**LIMB_BITS - 1, out=part)
                block[n + index] = part
        np.matmul(block, block.T, out=product)
        total += product.astype(np.int64)
    return total


def _to_table(matrix: NDArray[np.object_]) -> Table:
    return tuple(tuple(int(entry) for entry in row) for row in matrix)
