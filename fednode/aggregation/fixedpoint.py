"""Between float tensors and the integers that members sign: `value = integer * 2**-exponent`."""

from collections.abc import Mapping
from math import ldexp
from typing import Any, Final, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ledger.records import VALUE_MAX
from ledger.tensors import TensorSpec

EXPONENT_MAX: Final = 100
"""Largest scale exponent; up to it every integer below 2**24 is a normal float32 after scaling."""

Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.int32]
Float = TypeVar("Float", np.float32, np.float64)


def quantize(values: Floats, exponent: int, *, name: str = "values") -> Integers:
    """Round float values to integers in units of `2**-exponent`, half to even.

    Values beyond the range saturate at `+-VALUE_MAX` (rule P5), so the result always converts to
    float32 and back without loss.

    Args:
        values: Floats in model units, any shape.
        exponent: Scale exponent, 0 to 100.
        name: What the values are, for the error text.

    Returns:
        Integers of the same shape.

    Raises:
        ValueError: If a value is not finite (the training diverged), or the exponent is out of
            range.
    """
    scale = _power_of_two(exponent)
    finite = np.isfinite(values)
    if not finite.all():
        first = np.unravel_index(int(np.argmin(finite)), values.shape)
        coordinate = [int(index) for index in first]
        raise ValueError(
            f"expected finite values in tensor {name!r}, got {values[first]} at {coordinate}: "
            "the training diverged, lower the learning rate or check the data"
        )
    scaled = np.empty(values.shape, np.float64)
    with np.errstate(over="ignore"):  # beyond the range of float64 is beyond ours: it saturates
        np.multiply(values, scale, out=scaled, dtype=np.float64)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -VALUE_MAX, VALUE_MAX, out=scaled)
    return scaled.astype(np.int32)


@overload
def dequantize(values: Integers, exponent: int) -> NDArray[np.float32]: ...
@overload
def dequantize(values: Integers, exponent: int, dtype: type[Float]) -> NDArray[Float]: ...
def dequantize(
    values: Integers, exponent: int, dtype: type[np.floating[Any]] = np.float32
) -> NDArray[Any]:
    """Return the floats that integers stand for; exact in both types for magnitudes below 2**24.

    Args:
        values: Integers in units of `2**-exponent`, any shape.
        exponent: Scale exponent, 0 to 100.
        dtype: `numpy.float32` or `numpy.float64`.

    Raises:
        ValueError: If the exponent is out of range.
    """
    scale = dtype(1 / _power_of_two(exponent))
    floats = values.astype(dtype)
    np.multiply(floats, scale, out=floats)
    return floats


def flatten(tensors: Mapping[str, Floats], table: tuple[TensorSpec, ...]) -> Integers:
    """Quantize named tensors into one vector, in the order of the table and row-major within.

    Args:
        tensors: Floats by tensor name; exactly the names and shapes of the table.
        table: The contract's tensor table.

    Returns:
        Integers, shape (p,) with `p` the sum of the table's sizes.

    Raises:
        ValueError: If names or shapes differ from the table, or a value is not finite.
    """
    expected = [spec.name for spec in table]
    if set(expected) != set(tensors):
        raise ValueError(f"expected tensors named {expected}, got {list(tensors)}")
    vector = np.empty(_element_count(table), np.int32)
    start = 0
    for spec in table:
        values = np.asarray(tensors[spec.name])
        if values.shape != spec.shape:
            raise ValueError(
                f"expected shape {spec.shape} for tensor {spec.name!r}, got {values.shape}"
            )
        integers = quantize(values, spec.exponent, name=spec.name)
        vector[start : start + spec.size] = integers.reshape(-1)
        start += spec.size
    return vector


@overload
def unflatten(
    vector: Integers, table: tuple[TensorSpec, ...]
) -> dict[str, NDArray[np.float32]]: ...
@overload
def unflatten(
    vector: Integers, table: tuple[TensorSpec, ...], dtype: type[Float]
) -> dict[str, NDArray[Float]]: ...
def unflatten(
    vector: Integers,
    table: tuple[TensorSpec, ...],
    dtype: type[np.floating[Any]] = np.float32,
) -> dict[str, NDArray[Any]]:
    """Return the named float tensors of a vector made by `flatten`, as writable copies.

    Args:
        vector: Integers, shape (p,).
        table: The contract's tensor table.
        dtype: `numpy.float32` or `numpy.float64`.

    Raises:
        ValueError: If the vector's length differs from the table's.
    """
    count = _element_count(table)
    if vector.shape != (count,):
        raise ValueError(f"expected a vector of shape ({count},), got {vector.shape}")
    tensors = {}
    start = 0
    for spec in table:
        part = vector[start : start + spec.size].reshape(spec.shape)
        tensors[spec.name] = dequantize(part, spec.exponent, dtype)
        start += spec.size
    return tensors


def _power_of_two(exponent: int) -> float:
    if not 0 <= exponent <= EXPONENT_MAX:
        raise ValueError(f"expected a scale exponent in 0..{EXPONENT_MAX}, got {exponent}")
    return ldexp(1.0, exponent)


def _element_count(table: tuple[TensorSpec, ...]) -> int:
    return sum(spec.size for spec in table)
