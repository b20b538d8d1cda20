"""Every rule gives exactly what its twin gives, and keeps the properties that it promises."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fednode.aggregation.errors import AggregationError
from fednode.aggregation.mixed_lines import BLOCK_COLUMNS
from fednode.aggregation.rows import ROW_VALUE_MAX
from fednode.aggregation.rules import RULES, Aggregate, RuleSpec, aggregate, apply_delta
from ledger.genesis import RULE_IDS
from ledger.kinds import MEMBERS_MAX
from ledger.records import VALUE_MAX
from tests.fednode.aggregation import twins

ROBUST = "nnm-geometric-median"
ALL = sorted(RULES)
# Norm clipping knows a point that no translation moves: that of no change.
MOVING = [rule_id for rule_id in ALL if not rule_id.startswith("norm-clipping-")]
ROBUST_RULES = [rule_id for rule_id in ALL if RULES[rule_id].base != "mean"]


def run(
    rule_id: str, rows: list[list[int]] | NDArray[np.int32], weights: list[int], f: int
) -> Aggregate:
    vectors = [np.asarray(row, np.int32) for row in rows]
    return aggregate(RuleSpec(rule_id=rule_id, f=f), vectors, weights)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[int]], list[int], int]:
    """Rows with many ties and zero weights, or of full range."""
    n = draw(st.integers(1, 6))
    p = draw(st.integers(1, 3))
    value = st.one_of(st.integers(-2, 2), st.integers(-VALUE_MAX, VALUE_MAX))
    rows = draw(st.lists(st.lists(value, min_size=p, max_size=p), min_size=n, max_size=n))
    weight = st.one_of(st.integers(0, 2), st.integers(0, 2**24))
    return rows, draw(st.lists(weight, min_size=n, max_size=n)), draw(st.integers(0, (n - 1) // 2))


@given(case=cases())
def test_robust_rule_equals_its_twin_on_vectors_of_fractions(
    case: tuple[list[list[int]], list[int], int],
) -> None:
    rows, weights, f = case

    delta = run(ROBUST, rows, weights, f).delta

    exact = [tuple(Fraction(value) for value in row) for row in rows]
    weights = weights if any(weights) else [1] * len(weights)
    assert delta.tolist() == twins.exact_nnm_geometric_median(exact, weights, f)


@pytest.mark.parametrize(("n", "f"), [(4, 1), (7, 2), (10, 3)])
def test_robust_rule_agrees_with_float64_within_one_quantum(n: int, f: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(0, 3000, (n, 500)) + generator.normal(0, 3000, 500)
    rows[:f] *= -10
    integers = np.rint(rows).astype(np.int32)
    weights = generator.integers(1, 1000, n)

    delta = run(ROBUST, integers, weights.tolist(), f).delta

    floats = weights.astype(np.float64)
    mixed = twins.float_nnm(integers.astype(np.float64), floats, f)
    expected = twins.float_geometric_median(mixed, floats, iterations=32)
    assert np.abs(delta - expected).max() < 1


@pytest.mark.parametrize("rule_id", ALL)
def test_rules_follow_a_permutation_of_the_members(rule_id: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-50_000, 50_000, (7, 40), dtype=np.int32)
    rows[2] *= -40
    weights = generator.integers(0, 2**30, 7)
    order = generator.permutation(7)

    before = run(rule_id, rows, weights.tolist(), 2)
    after = run(rule_id, rows[order], weights[order].tolist(), 2)

    assert after.delta.tolist() == before.delta.tolist()
    assert after.flags == tuple(before.flags[k] for k in order)


def test_every_rule_that_contracts_can_name_is_there() -> None:
    """Rule P81: a change of the terms to another one is refused by the ledger."""
    assert set(RULE_IDS) <= set(RULES)


def test_every_base_rule_is_there_alone_and_after_every_preaggregation() -> None:
    assert {"median", "trimmed-mean", "krum", "multi-krum", "geometric-median"} < set(RULES)
    assert {"centered-clipping", "nnm-trimmed-mean", "bucketing-krum"} < set(RULES)
    assert "norm-clipping-centered-clipping" in RULES
    assert len(RULES) == 7 * 4


@given(rule_id=st.sampled_from(MOVING), case=cases(), shift=st.integers(-VALUE_MAX, VALUE_MAX))
def test_rules_move_with_a_translation_of_all_rows(
    rule_id: str, case: tuple[list[list[int]], list[int], int], shift: int
) -> None:
    rows, weights, f = case

    still = run(rule_id, rows, weights, f)
    moved = run(rule_id, [[value + shift for value in row] for row in rows], weights, f)

    assert moved.delta.tolist() == (still.delta + shift).tolist()
    assert moved.flags == still.flags


@given(rule_id=st.sampled_from(ALL), case=cases())
def test_every_coordinate_stays_between_the_rows(
    rule_id: str, case: tuple[list[list[int]], list[int], int]
) -> None:
    rows, weights, f = case

    delta = run(rule_id, rows, weights, f).delta

    if rule_id not in MOVING:
        rows = [*rows, [0] * len(rows[0])]
    assert (delta >= np.min(rows, axis=0)).all()
    assert (delta <= np.max(rows, axis=0)).all()


@pytest.mark.parametrize(("n", "f"), [(4, 1), (7, 2), (13, 4)])
@pytest.mark.parametrize("attack", ["far together", "far apart", "one far, one on the mean"])
def test_robust_rules_stay_near_the_honest_rows_however_far_the_others_are(
    n: int, f: int, attack: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-100, 100, (n, 30), dtype=np.int32)
    far = generator.choice([-1, 1], (f, 30)).astype(np.int32) * (VALUE_MAX // 2)
    rows[:f] = far[0] if attack == "far together" else far
    if attack == "one far, one on the mean":
        rows[1:f] = (rows[0] + rows[f:].sum(axis=0)) // (n - f + 1)

    results = {rule_id: run(rule_id, rows, [1] * n, f) for rule_id in ROBUST_RULES}

    honest = rows[f:]
    radius = np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()
    for rule_id, result in results.items():
        assert np.linalg.norm(result.delta - honest.mean(axis=0)) < 2 * radius, rule_id
        assert not any(result.flags[f:]), rule_id
        assert result.flags[0], rule_id
    assert np.linalg.norm(run("mean", rows, [1] * n, f).delta) > 1000 * radius


@pytest.mark.parametrize("n", [4, 5, 7, 10])
def test_a_site_that_sends_minus_ten_times_its_update_is_flagged(n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = (generator.normal(0, 1000, 200) + generator.normal(0, 2000, (n, 200))).astype(np.int32)
    rows[1] *= -10

    flags = run(ROBUST, rows, [100] * n, (n - 1) // 3).flags

    assert flags == (False, True, *[False] * (n - 2))


@pytest.mark.parametrize("rule_id", ALL)
def test_one_or_two_rows_are_never_flagged(rule_id: str) -> None:
    assert run(rule_id, [[5, 7]], [3], 1).flags == (False,)
    assert run(rule_id, [[0, 0], [VALUE_MAX, 0]], [1, 1000], 1).flags == (False, False)


@pytest.mark.parametrize("rule_id", ALL)
def test_differences_of_rounding_are_never_flagged(rule_id: str) -> None:
    rows = [[9, 9, 9, 9]] * 4 + [[10, 8, 9, 10]]

    assert run(rule_id, rows, [1] * 5, 1).flags == (False,) * 5
    assert run(rule_id, [[9] * 4] * 4 + [[200] * 4], [1] * 5, 1).flags == (False,) * 4 + (True,)


@pytest.mark.parametrize("rule_id", ALL)
def test_a_single_row_is_its_own_aggregate(rule_id: str) -> None:
    assert run(rule_id, [[5, -7, VALUE_MAX]], [0], 3).delta.tolist() == [5, -7, VALUE_MAX]


def test_robust_rule_with_two_rows_is_their_weighted_mean_when_equal() -> None:
    assert run(ROBUST, [[0], [10]], [1, 1], 1).delta.tolist() == [5]


def test_robust_rule_with_three_rows_follows_two_that_agree() -> None:
    rows = [[40, -40], [VALUE_MAX, VALUE_MAX], [40, -40]]

    assert run(ROBUST, rows, [1, 1, 1], 1).delta.tolist() == [40, -40]


@pytest.mark.parametrize("rule_id", ALL)
def test_all_zero_weights_mean_equal_weights_in_every_rule(rule_id: str, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-99, 99, (5, 8), dtype=np.int32)

    zero, ones = run(rule_id, rows, [0] * 5, 1), run(rule_id, rows, [1] * 5, 1)

    assert zero.delta.tolist() == ones.delta.tolist()
    assert zero.flags == ones.flags


@pytest.mark.parametrize("rule_id", ["mean", *ROBUST_RULES])
def test_rules_do_not_overflow_at_their_bounds(rule_id: str) -> None:
    ends = np.array([ROW_VALUE_MAX, -ROW_VALUE_MAX] * 500, np.int32)
    rows = [ends] * 20 + [-ends] * 3

    result = aggregate(RuleSpec(rule_id=rule_id, f=3), rows, [2**40] * 23)

    expected = (17 * ends.astype(np.int64) * 2 + 23) // 46 if rule_id == "mean" else ends
    assert result.delta.tolist() == expected.tolist()
    assert result.flags == (False,) * 20 + (True,) * 3


@pytest.mark.parametrize("rule_id", ["mean", "median", "trimmed-mean"])
def test_a_rule_takes_as_many_rows_as_a_network_has_members(rule_id: str) -> None:
    rows = [np.array([ROW_VALUE_MAX, -ROW_VALUE_MAX], np.int32)] * MEMBERS_MAX

    equal = aggregate(RuleSpec(rule_id=rule_id, f=85), rows, [2**24] * MEMBERS_MAX)
    uneven = aggregate(RuleSpec(rule_id=rule_id, f=85), rows, [5] + [2**24] * (MEMBERS_MAX - 1))

    assert equal.delta.tolist() == uneven.delta.tolist() == [ROW_VALUE_MAX, -ROW_VALUE_MAX]


def test_no_rule_copies_its_rows(tmp_path: Path) -> None:
    columns = 3 * BLOCK_COLUMNS
    rows = []
    for member in range(5):
        np.arange(columns, dtype=np.int32).tofile(tmp_path / str(member))
        rows.append(np.memmap(tmp_path / str(member), np.int32, "r"))

    for rule_id in ALL:
        delta = aggregate(RuleSpec(rule_id=rule_id, f=1), rows, [1, 1, 2, 1, 1]).delta
        assert not any(np.shares_memory(delta, row) for row in rows)
        if rule_id in MOVING:
            assert np.array_equal(delta, rows[0]), rule_id


def test_f_beyond_what_the_included_rows_allow_counts_as_the_most_they_allow(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-99, 99, (5, 8), dtype=np.int32)

    assert (
        run(ROBUST, rows, [1] * 5, 9).delta.tolist() == run(ROBUST, rows, [1] * 5, 2).delta.tolist()
    )


def test_bad_rules_and_inputs_are_refused() -> None:
    with pytest.raises(AggregationError, match=r"'krum', 'mean'.*, got 'crumb'"):
        RuleSpec(rule_id="crumb", f=0)
    with pytest.raises(AggregationError, match="f of 0 or more, got -1"):
        RuleSpec(rule_id="mean", f=-1)
    with pytest.raises(AggregationError, match="expected 2 weights, got 1"):
        run("mean", [[1], [2]], [1], 0)
    for rule_id in ("mean", "median", "krum", ROBUST):
        with pytest.raises(AggregationError, match="1 to 256 rows, got 0"):
            run(rule_id, [], [], 0)
        with pytest.raises(AggregationError, match="up to 33554431, got 33554432"):
            run(rule_id, [[0], [2**25]], [1, 1], 0)


def test_apply_delta_saturates() -> None:
    parameters = np.array([1, VALUE_MAX, -VALUE_MAX, VALUE_MAX], np.int32)
    delta = np.array([2, 1, -ROW_VALUE_MAX, -VALUE_MAX], np.int32)

    updated = apply_delta(parameters, delta)

    assert updated.dtype == np.int32
    assert updated.tolist() == [3, VALUE_MAX, -VALUE_MAX, 0]
    assert parameters.tolist() == [1, VALUE_MAX, -VALUE_MAX, VALUE_MAX]
    with pytest.raises(AggregationError, match=r"expected a delta of \(4,\), got \(1,\)"):
        apply_delta(parameters, delta[:1])
