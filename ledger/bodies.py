"""Bodies of models and updates: their bytes, and the ids that headers name (rules P4, P5).

A body is [32 random bytes, updates only] | length of the table, 4 bytes big endian | canonical
table | values as little-endian int32 in the order of the table. The random bytes keep the id of an
update from telling what a guessable update contains.
"""

import struct
from typing import Final

from ledger.encoding import encode_as
from ledger.errors import DecodeError
from ledger.merkle import leaf_hash, root_of_hashes
from ledger.tensors import TensorTable

LEAF_BYTES: Final = 64 * 1024
SALT_BYTES: Final = 32
VALUE_BYTES: Final = 4
_LENGTH: Final = struct.Struct(">I")


def body_id(body: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte id of a body: the RFC 6962 root over its 64 KiB pieces (rule P4)."""
    view = memoryview(body).cast("B")
    pieces = range(0, len(view), LEAF_BYTES)
    return root_of_hashes(leaf_hash(view[start : start + LEAF_BYTES]) for start in pieces)


def body_bytes(tensors: TensorTable, *, is_update: bool) -> int:
    """Return the exact size in bytes of a body with this table."""
    n_values = sum(tensor.size for tensor in tensors)
    return SALT_BYTES * is_update + len(_head(tensors)) + VALUE_BYTES * n_values


def encode_model_body(tensors: TensorTable, values: bytes | memoryview) -> bytes:
    """Return the body of a model.

    Args:
        tensors: The contract's tensor table.
        values: All values as little-endian int32, in the order of the table, row-major.

    Raises:
        DecodeError: If `values` has not four bytes for each element of the table.
    """
    body = _head(tensors) + bytes(values)
    _check_size(len(body), tensors, is_update=False)
    return body


def encode_update_body(salt: bytes, tensors: TensorTable, values: bytes | memoryview) -> bytes:
    """Return the body of an update: a model's body behind 32 fresh random bytes.

    Raises:
        DecodeError: If the salt has another length, or `values` does not fit the table.
    """
    if len(salt) != SALT_BYTES:
        raise DecodeError(f"expected {SALT_BYTES} random bytes, got {len(salt)}")
    return salt + encode_model_body(tensors, values)


def decode_model_body(body: bytes | memoryview, tensors: TensorTable) -> memoryview:
    """Return the values of a model's body, little-endian int32, without copying them.

    Their magnitudes are the caller's question (rule P5).

    Raises:
        DecodeError: If size or table differ from what the contract says.
    """
    return _values(body, tensors, is_update=False)


def decode_update_body(body: bytes | memoryview, tensors: TensorTable) -> memoryview:
    """Return the values of an update's body, as `decode_model_body` does.

    Raises:
        DecodeError: If size or table differ from what the contract says.
    """
    return _values(body, tensors, is_update=True)


def model_id(tensors: TensorTable, values: bytes | memoryview) -> bytes:
    """Return the id of the model with these values."""
    return body_id(encode_model_body(tensors, values))


def _values(body: bytes | memoryview, tensors: TensorTable, *, is_update: bool) -> memoryview:
    view = memoryview(body).cast("B")
    _check_size(len(view), tensors, is_update=is_update)
    start = SALT_BYTES * is_update
    head = _head(tensors)
    if view[start : start + len(head)] != head:
        raise DecodeError("the tensor table of the body is not the contract's")
    return view[start + len(head) :]


def _check_size(size: int, tensors: TensorTable, *, is_update: bool) -> None:
    expected = body_bytes(tensors, is_update=is_update)
    if size != expected:
        what = "an update's" if is_update else "a model's"
        raise DecodeError(f"expected {what} body of {expected} bytes, got {size}")


def _head(tensors: TensorTable) -> bytes:
    table = encode_as(TensorTable, tensors)
    return _LENGTH.pack(len(table)) + table
