"""The table of a model's tensors: names, shapes and scales of its integers (rule P5)."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from ledger.encoding import U8, U32, Characters, Items

TENSORS_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One row of the tensor table: a value of the tensor is `integer * 2**-exponent` (rule P5)."""

    name: Annotated[str, Characters(128)]
    shape: Annotated[tuple[U32, ...], Items(8)]
    exponent: U8

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size


TensorTable: TypeAlias = Annotated[tuple[TensorSpec, ...], Items(TENSORS_MAX)]
