"""The weighted mean is exact to the last integer, also at its bounds."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.mean import BLOCK_COLUMNS, weighted_mean
from fednode.aggregation.rows import ROW_VALUE_MAX, WEIGHT_MAX, check_rows, scale_weights
from ledger.kinds import MEMBERS_MAX


@st.composite
def rows_and_weights(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    n = draw(st.integers(1, 6))
    p = draw(st.integers(0, 4))
    value = st.integers(-ROW_VALUE_MAX, ROW_VALUE_MAX)
    rows = draw(st.lists(st.lists(value, min_size=p, max_size=p), min_size=n, max_size=n))
    weight = st.one_of(st.integers(0, 3), st.integers(0, 2**40))
    return rows, draw(st.lists(weight, min_size=n, max_size=n))


@given(case=rows_and_weights())
def test_weighted_mean_equals_its_twin_in_fractions(
    case: tuple[list[list[int]], list[int]],
) -> None:
    rows, weights = case

    mean = weighted_mean([np.array(row, np.int32) for row in rows], weights)

    scaled = scale_weights(weights)
    expected = [
        floor(
            Fraction(sum(a * q for a, q in zip(scaled, column, strict=True)), sum(scaled))
            + Fraction(sum(scaled) // 2, sum(scaled))
        )
        for column in zip(*rows, strict=True)
    ]
    assert mean.dtype == np.int32
    assert mean.tolist() == expected


@given(case=rows_and_weights(), shift=st.integers(-1000, 1000))
def test_weighted_mean_moves_with_its_rows_and_ignores_their_order(
    case: tuple[list[list[int]], list[int]], shift: int
) -> None:
    rows = [np.clip(np.array(row, np.int32), -(2**24), 2**24) for row in case[0]]
    weights = case[1]

    mean = weighted_mean(rows, weights)

    assert weighted_mean(rows[::-1], weights[::-1]).tolist() == mean.tolist()
    moved = [(row + shift).astype(np.int32) for row in rows]
    assert weighted_mean(moved, weights).tolist() == (mean + shift).tolist()


def test_weighted_mean_crosses_block_borders(seed: int) -> None:
    columns = BLOCK_COLUMNS + 3
    rows = np.random.default_rng(seed).integers(-1000, 1000, (3, columns), dtype=np.int32)

    mean = weighted_mean(list(rows), [1, 1, 2])

    exact = rows[0].astype(object) + rows[1] + 2 * rows[2].astype(object)
    assert mean.tolist() == [(total + 2) // 4 for total in exact]


def test_weighted_mean_does_not_overflow_at_its_bounds() -> None:
    rows = [np.array([ROW_VALUE_MAX, -ROW_VALUE_MAX], np.int32)] * MEMBERS_MAX

    mean = weighted_mean(rows, [WEIGHT_MAX] * MEMBERS_MAX)

    assert mean.tolist() == [ROW_VALUE_MAX, -ROW_VALUE_MAX]


def test_all_zero_weights_mean_equal_weights() -> None:
    rows = [np.array([1], np.int32), np.array([5], np.int32)]

    assert weighted_mean(rows, [0, 0]).tolist() == [3]


def test_weights_keep_their_proportions_when_scaled() -> None:
    assert scale_weights([3, 0, WEIGHT_MAX]) == (3, 0, WEIGHT_MAX)
    assert scale_weights([2**60, 2**59, 1]) == (WEIGHT_MAX, WEIGHT_MAX // 2, 0)
    assert scale_weights([0, 0, 0]) == (1, 1, 1)
    with pytest.raises(AggregationError, match=r"0 or more, got \[1, -1\]"):
        scale_weights([1, -1])


def test_rows_out_of_bounds_are_refused() -> None:
    good = np.zeros(2, np.int32)

    with pytest.raises(AggregationError, match="1 to 256 rows, got 0"):
        check_rows([])
    with pytest.raises(AggregationError, match="1 to 256 rows, got 257"):
        check_rows([good] * 257)
    with pytest.raises(AggregationError, match=r"shape \(2,\), got int32 \(3,\) in row 1"):
        check_rows([good, np.zeros(3, np.int32)])
    with pytest.raises(AggregationError, match=r"got int64 .* in row 1"):
        check_rows([good, np.zeros(2, np.int64)])
    with pytest.raises(AggregationError, match=r"got int32 \(1, 2\) in row 0"):
        check_rows([good.reshape(1, 2)])
    with pytest.raises(AggregationError, match="got 2147483648 in row 1"):
        check_rows([good, np.array([0, -(2**31)], np.int32)])
    with pytest.raises(AggregationError, match="got 33554432 in row 0"):
        check_rows([np.array([2**25, 0], np.int32)])
    with pytest.raises(AggregationError, match="expected 1 weights, got 2"):
        weighted_mean([good], [1, 1])
    assert check_rows([good, np.array([3, -7], np.int32)]) == 7
