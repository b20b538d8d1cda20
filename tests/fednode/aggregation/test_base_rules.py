"""Each base rule and each pre-aggregation gives what its slow twin gives."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.aggregation.bucketing import bucket_rows
from fednode.aggregation.coordinates import median, trimmed_mean
from fednode.aggregation.gram import Table, gram_matrix, squared_distances
from fednode.aggregation.krum import krum, multi_krum
from fednode.aggregation.mixed_lines import BLOCK_COLUMNS, mix_values
from fednode.aggregation.norm_clipping import clip_norms
from fednode.aggregation.outliers import squared_distances_to
from fednode.aggregation.preaggregation import PREAGGREGATIONS
from fednode.aggregation.rows import ROW_VALUE_MAX, WEIGHT_MAX, scale_weights
from fednode.aggregation.rules import RuleSpec, aggregate
from ledger.kinds import MEMBERS_MAX
from tests.fednode.aggregation import twins

Lines = list[list[int]]


@st.composite
def lines(draw: st.DrawFn) -> tuple[Lines, list[int], int]:
    """Values by coordinate and weights, with many ties, or of full range, or all equal."""
    n = draw(st.integers(1, 9))
    value = st.one_of(st.integers(-2, 2), st.integers(-ROW_VALUE_MAX, ROW_VALUE_MAX))
    values = draw(st.lists(st.lists(value, min_size=n, max_size=n), min_size=1, max_size=3))
    weight = draw(st.sampled_from([st.just(3), st.integers(0, 2), st.integers(0, 2**24)]))
    weights = scale_weights(draw(st.lists(weight, min_size=n, max_size=n)))
    return values, list(weights), draw(st.integers(0, (n - 1) // 2))


def distances_of(rows: list[list[int]]) -> Table:
    return squared_distances(gram_matrix([np.array(row, np.int32) for row in rows]))


@given(case=lines())
def test_median_equals_its_twin(case: tuple[Lines, list[int], int]) -> None:
    values, weights, f = case

    found = median(np.array(values, np.int32), weights, f)

    assert found.dtype == np.int32
    assert found.tolist() == [twins.median(line, weights) for line in values]


@given(case=lines())
def test_trimmed_mean_equals_its_twin(case: tuple[Lines, list[int], int]) -> None:
    values, weights, f = case

    found = trimmed_mean(np.array(values, np.int32), weights, f)

    assert found.dtype == np.int32
    assert found.tolist() == [twins.trimmed_mean(line, weights, f) for line in values]


def test_trimmed_mean_of_rows_without_weight_is_plain() -> None:
    values = np.array([[1, 5, 8, 100], [1, 2, 3, 4]], np.int32)

    # What is left of the first line has no weight, of the second it is the row of weight 6.
    found = trimmed_mean(values[:, [0, 2, 1, 3]], [6, 0, 0, 0], 1)
    other = trimmed_mean(values[:, [1, 0, 2, 3]], [6, 0, 0, 0], 1)

    assert found.tolist() == [7, 3]
    assert other.tolist() == [5, 2]


@given(case=lines())
def test_trimmed_mean_stays_between_any_honest_values(case: tuple[Lines, list[int], int]) -> None:
    values, weights, f = case

    found = trimmed_mean(np.array(values, np.int32), weights, f)

    for line, value in zip(values, found.tolist(), strict=True):
        assert min(line[f:]) <= value <= max(line[f:])
        honest = line[: len(line) - f]
        assert min(honest) <= value <= max(honest)


@given(case=lines())
def test_krum_and_multi_krum_equal_their_twins(case: tuple[Lines, list[int], int]) -> None:
    values, weights, f = case
    rows = [list(row) for row in zip(*values, strict=True)]
    n = len(rows)
    order = twins.krum_order([tuple(Fraction(value) for value in row) for row in rows], f)

    one, many = krum(distances_of(rows), weights, f), multi_krum(distances_of(rows), weights, f)

    assert one == tuple(int(i == order[0]) for i in range(n))
    chosen = order[: n - f]
    shares = weights if any(weights[i] for i in chosen) else [1] * n
    assert many == tuple(shares[i] if i in chosen else 0 for i in range(n))


@pytest.mark.parametrize(("n", "f"), [(4, 1), (7, 2), (10, 3)])
def test_centered_clipping_agrees_with_float64_within_one_quantum(
    n: int, f: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = np.rint(generator.normal(0, 3000, (n, 500)) + generator.normal(0, 3000, 500))
    rows[:f] *= -10
    weights = generator.integers(1, 1000, n)

    rule = RuleSpec(rule_id="centered-clipping", f=f)
    delta = aggregate(rule, list(rows.astype(np.int32)), weights.tolist()).delta

    expected = twins.float_centered_clipping(rows, weights.astype(np.float64), steps=8)
    assert np.abs(delta - expected).max() < 1


@pytest.mark.parametrize(("n", "f", "sizes"), [(1, 0, [1]), (9, 2, [2, 2, 2, 2, 1])])
def test_buckets_hold_two_rows_each_and_every_row_once(
    n: int, f: int, sizes: list[int], seed: int
) -> None:
    rows = np.random.default_rng(seed).integers(-99, 99, (n, 5), dtype=np.int32)
    weights = tuple(range(1, n + 1))

    buckets = bucket_rows(distances_of(rows.tolist()), weights, f)

    assert [sum(weight > 0 for weight in line) for line in buckets] == sizes
    assert tuple(sum(column) for column in zip(*buckets, strict=True)) == weights


def test_there_are_no_buckets_where_bad_ones_could_be_half_of_them(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-99, 99, (8, 5), dtype=np.int32)

    buckets = bucket_rows(distances_of(rows.tolist()), (1,) * 8, 2)

    assert len(buckets) == 8
    assert len(bucket_rows(distances_of(rows.tolist()), (1,) * 8, 1)) == 4


def test_buckets_follow_the_rows_and_change_with_any_of_them(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-99, 99, (12, 5), dtype=np.int32)
    order = np.random.default_rng(seed).permutation(12)

    def pairs(of: list[list[int]]) -> set[tuple[int, ...]]:
        buckets = bucket_rows(distances_of(of), (1,) * 12, 0)
        return {tuple(i for i, weight in enumerate(line) if weight) for line in buckets}

    before = pairs(rows.tolist())
    moved = {tuple(sorted(int(order[i]) for i in pair)) for pair in pairs(rows[order].tolist())}
    rows[0, 0] += 1

    assert moved == before
    assert pairs(rows.tolist()) != before


def test_norm_clipping_shortens_the_longest_rows_to_the_next_one() -> None:
    # Of 10 rows 2 * 3 * 7 / 10 = 4 are shortened.
    norms = [4, 100, 1, 9, 16, 64, 81, 25, 400, 36]

    lines = clip_norms([norm**2 for norm in norms], 3)

    kept = [line[i] / 2**24 * norms[i] for i, line in enumerate(lines)]
    assert kept == pytest.approx([4, 36, 1, 9, 16, 36, 36, 25, 36, 36], abs=1e-4)
    assert all(sum(line) == 2**24 for line in lines)
    assert all(line[-1] + line[i] == 2**24 for i, line in enumerate(lines))
    assert clip_norms([9, 4], 0) == ((2**24, 0, 0), (0, 2**24, 0))


def test_norm_clipping_takes_a_far_row_its_length_and_keeps_its_direction() -> None:
    rows = [np.array(row, np.int32) for row in ([6, 8], [0, 10], [-10, 0], [60_000, 80_000])]

    delta = aggregate(RuleSpec(rule_id="norm-clipping-mean", f=1), rows, [1] * 4).delta

    assert delta.tolist() == [round((6 + 0 - 10 + 6) / 4), round((8 + 10 + 8) / 4)]


@pytest.mark.parametrize("largest", [3, 2**20, ROW_VALUE_MAX])
@given(data=st.data())
def test_mixed_values_equal_their_twin(largest: int, data: st.DataObject) -> None:
    n, m = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    value = st.integers(-largest, largest)
    rows = data.draw(st.lists(st.lists(value, min_size=3, max_size=3), min_size=n, max_size=n))
    share = st.integers(1, 2**24)
    width = n + data.draw(st.integers(0, 1))
    matrix = data.draw(
        st.lists(st.lists(share, min_size=width, max_size=width), min_size=m, max_size=m)
    )

    table = tuple(tuple(line) for line in matrix)
    mixed = mix_values(np.array(rows, np.int32), table, largest)

    exact = [tuple(Fraction(v) for v in row) for row in [*rows, [0] * 3][:width]]
    expected = [[twins.round_half_up(v) for v in twins.mean_of(exact, line)] for line in matrix]
    assert mixed.tolist() == expected


def test_mixed_values_are_exact_at_their_bounds() -> None:
    # Sums near 2**57, between which and the next one no float64 can tell, at the point of rounding.
    row = np.array([ROW_VALUE_MAX, 2 - ROW_VALUE_MAX], np.int32)
    half = MEMBERS_MAX // 2
    rows = np.stack([row] * half + [row - 1] * half)
    even = (WEIGHT_MAX - 1,) * MEMBERS_MAX
    more_below = (*even[1:], WEIGHT_MAX)

    mixed = mix_values(rows, (even, more_below), ROW_VALUE_MAX)

    assert mixed.tolist() == [row.tolist(), (row - 1).tolist()]


def test_a_bucket_counts_with_the_weight_of_its_rows(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-99, 99, (6, 5), dtype=np.int32)

    mixture = PREAGGREGATIONS["bucketing"](gram_matrix(list(rows)), (1, 2, 4, 8, 16, 0), 1)

    assert mixture.weights == tuple(sum(line) for line in mixture.matrix)
    assert sum(mixture.weights) == 31


@pytest.mark.parametrize("largest", [9, 2**20, ROW_VALUE_MAX])
def test_distances_to_the_aggregate_are_exact(largest: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(
        -largest, largest, (3, BLOCK_COLUMNS + 5), dtype=np.int32, endpoint=True
    )
    rows[1], rows[2] = largest, -largest

    found = squared_distances_to(rows[2], list(rows))

    differences = rows.astype(object) - rows[2].astype(object)
    assert found == tuple(int(total) for total in (differences**2).sum(axis=1))
