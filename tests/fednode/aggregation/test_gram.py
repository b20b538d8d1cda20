"""The Gram matrix is exact for every input within its bounds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.gram import BLOCK_COLUMNS, gram_matrix, squared_distances
from fednode.aggregation.rows import ROW_VALUE_MAX
from ledger.records import VALUE_MAX


def gram_twin(rows: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sum(a * b for a, b in zip(x, y, strict=True)) for y in rows) for x in rows)


@pytest.mark.parametrize("largest", [5, 2**20, ROW_VALUE_MAX])
@given(data=st.data())
def test_gram_matrix_equals_its_twin_in_python_integers(largest: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 5))
    p = data.draw(st.integers(0, 6))
    value = st.integers(-largest, largest)
    rows = data.draw(st.lists(st.lists(value, min_size=p, max_size=p), min_size=n, max_size=n))

    gram = gram_matrix([np.array(row, np.int32) for row in rows])

    assert gram == gram_twin(rows)
    assert all(type(entry) is int for row in gram for entry in row)


@pytest.mark.parametrize("value", [2**20, 2**20 + 1, VALUE_MAX, ROW_VALUE_MAX])
def test_gram_matrix_is_exact_for_a_million_columns_at_the_bounds(value: int) -> None:
    columns = 10**6
    plus = np.full(columns, value, np.int32)
    odd = plus.copy()
    odd[::2] = 1 - value

    gram = gram_matrix([plus, -plus, odd])

    full = columns * value**2
    odd_norm = columns // 2 * (value**2 + (value - 1) ** 2)
    odd_product = columns // 2 * value
    assert gram == (
        (full, -full, odd_product),
        (-full, full, -odd_product),
        (odd_product, -odd_product, odd_norm),
    )


def test_gram_matrix_keeps_sums_of_many_small_limb_products_exact() -> None:
    # One limb would do for each block, but the sum over all blocks leaves int64.
    columns = 2**23 + BLOCK_COLUMNS
    row = np.broadcast_to(np.array(2**20 - 1, np.int32), (columns,))

    assert gram_matrix([row]) == ((columns * (2**20 - 1) ** 2,),)
    row = np.broadcast_to(np.array(2**20, np.int32), (columns,))
    assert gram_matrix([row]) == ((columns * 2**40,),)


@pytest.mark.parametrize("largest", [1000, ROW_VALUE_MAX])
@pytest.mark.parametrize("columns", [BLOCK_COLUMNS - 1, BLOCK_COLUMNS, 3 * BLOCK_COLUMNS + 5])
def test_gram_matrix_crosses_block_borders(largest: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-largest, largest, (4, columns), dtype=np.int32, endpoint=True)

    gram = gram_matrix(list(rows))

    exact = rows.astype(object) @ rows.T.astype(object)
    assert gram == tuple(tuple(row) for row in exact.tolist())


def test_gram_matrix_reads_memory_maps_and_strided_rows(tmp_path: Path) -> None:
    values = np.arange(-9000, 9000, dtype=np.int32)
    values.tofile(tmp_path / "row")
    mapped = np.memmap(tmp_path / "row", np.int32, "r")

    gram = gram_matrix([mapped, np.repeat(values, 2)[::2]])

    norm = sum(value**2 for value in range(-9000, 9000))
    assert gram == ((norm, norm), (norm, norm))


def test_gram_matrix_refuses_values_beyond_its_bound() -> None:
    with pytest.raises(AggregationError, match="up to 33554431, got 33554432"):
        gram_matrix([np.array([-(2**25)], np.int32)])


def test_squared_distances_are_those_of_the_differences(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-VALUE_MAX, VALUE_MAX, (5, 7), dtype=np.int32)

    distances = squared_distances(gram_matrix(list(rows)))

    twin = rows.astype(object)
    assert distances == tuple(tuple(int(((x - y) ** 2).sum()) for y in twin) for x in twin)
