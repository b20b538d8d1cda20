"""Quantization is exact, saturates at the bound of rule P5, and refuses what is no number."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.aggregation.fixedpoint import (
    EXPONENT_MAX,
    dequantize,
    flatten,
    quantize,
    unflatten,
)
from ledger.records import VALUE_MAX
from ledger.tensors import TensorSpec

TABLE = (
    TensorSpec(name="weights", shape=(2, 3), exponent=20),
    TensorSpec(name="bias", shape=(), exponent=4),
    TensorSpec(name="empty", shape=(0, 5), exponent=0),
    TensorSpec(name="scale", shape=(2,), exponent=EXPONENT_MAX),
)


def test_quantize_rounds_half_to_even() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 0.51])

    assert quantize(values, 0).tolist() == [0, 2, 2, 0, -2, 0, 1]
    assert quantize(values / 8, 3).tolist() == [0, 2, 2, 0, -2, 0, 1]


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    exponent=st.integers(0, EXPONENT_MAX),
)
def test_quantize_equals_the_rounding_of_fractions(value: float, exponent: int) -> None:
    expected = max(-VALUE_MAX, min(VALUE_MAX, round(Fraction(value) * 2**exponent)))

    assert quantize(np.array([value]), exponent).tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    integers=st.lists(st.integers(-VALUE_MAX, VALUE_MAX), min_size=1),
    exponent=st.integers(0, EXPONENT_MAX),
)
def test_dequantize_is_exact_and_quantize_undoes_it(
    dtype: type[np.float32] | type[np.float64], integers: list[int], exponent: int
) -> None:
    vector = np.array(integers, np.int32)

    floats = dequantize(vector, exponent, dtype)

    assert floats.dtype == dtype
    assert [Fraction(float(x)) for x in floats] == [Fraction(q, 2**exponent) for q in integers]
    assert quantize(floats, exponent).tolist() == integers


def test_dequantize_gives_float32_unless_told_otherwise() -> None:
    assert dequantize(np.array([3], np.int32), 1).dtype == np.float32
    assert unflatten(flatten(_tensors(), TABLE), TABLE)["weights"].dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantize_names_the_first_value_that_is_not_finite(bad: float) -> None:
    values = np.zeros((2, 3), np.float32)
    values[1, 0] = bad
    values[1, 2] = np.nan

    with pytest.raises(ValueError, match=rf"'hidden', got {bad} at \[1, 0\]"):
        quantize(values, 20, name="hidden")


@pytest.mark.parametrize("exponent", [-1, EXPONENT_MAX + 1])
def test_scale_exponents_out_of_range_are_refused(exponent: int) -> None:
    with pytest.raises(ValueError, match=rf"0\.\.100, got {exponent}"):
        quantize(np.zeros(1), exponent)
    with pytest.raises(ValueError, match=rf"0\.\.100, got {exponent}"):
        dequantize(np.zeros(1, np.int32), exponent)


def test_flatten_follows_the_table_and_unflatten_undoes_it() -> None:
    tensors = _tensors()

    vector = flatten(dict(reversed(tensors.items())), TABLE)

    assert vector.dtype == np.int32
    assert vector.tolist() == [0, 1 << 20, 2 << 20, 3 << 20, 4 << 20, 5 << 20, 24, 1, -1]
    restored = unflatten(vector, TABLE, np.float64)
    assert list(restored) == ["weights", "bias", "empty", "scale"]
    for spec in TABLE:
        assert restored[spec.name].shape == spec.shape
        np.testing.assert_array_equal(restored[spec.name], tensors[spec.name])


def test_flatten_reads_transposed_tensors_row_by_row() -> None:
    table = TABLE[:1]
    tensor = np.arange(6.0).reshape(3, 2).T

    assert flatten({"weights": tensor}, table).tolist() == [q << 20 for q in (0, 2, 4, 1, 3, 5)]


def test_unflatten_gives_copies() -> None:
    vector = flatten(_tensors(), TABLE)

    unflatten(vector, TABLE)["weights"][:] = 7

    assert vector.tolist() == flatten(_tensors(), TABLE).tolist()


def test_flatten_refuses_what_the_table_does_not_say() -> None:
    tensors = _tensors()

    with pytest.raises(ValueError, match=r"expected tensors named .*'scale'.*, got .*'weights'"):
        flatten({"weights": tensors["weights"]}, TABLE)
    with pytest.raises(ValueError, match=r"got .*'other'"):
        flatten({**tensors, "other": np.zeros(1)}, TABLE)
    with pytest.raises(ValueError, match=r"expected shape \(2, 3\) .*'weights', got \(3, 2\)"):
        flatten({**tensors, "weights": np.zeros((3, 2))}, TABLE)
    with pytest.raises(ValueError, match=r"'scale', got nan at \[1\]"):
        flatten({**tensors, "scale": np.array([0.0, np.nan])}, TABLE)
    with pytest.raises(ValueError, match=r"shape \(9,\), got \(8,\)"):
        unflatten(np.zeros(8, np.int32), TABLE)


def _tensors() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    return {
        "weights": np.arange(6.0).reshape(2, 3),
        "bias": np.array(1.5),
        "empty": np.zeros((0, 5)),
        "scale": np.array([2.0**-EXPONENT_MAX, -(2.0**-EXPONENT_MAX)]),
    }
