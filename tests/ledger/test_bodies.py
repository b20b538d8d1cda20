"""Bodies of models and updates (rules P4, P5)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bodies import (
    LEAF_BYTES,
    SALT_BYTES,
    body_bytes,
    body_id,
    decode_model_body,
    decode_update_body,
    encode_model_body,
    encode_update_body,
    model_id,
)
from ledger.encoding import encode_as
from ledger.errors import DecodeError
from ledger.merkle import EMPTY_ROOT, root
from ledger.tensors import TensorSpec, TensorTable
from tests.support.ledger import TENSORS

VALUES = struct.pack("<8i", 1, -1, 2**24 - 1, -(2**24) + 1, 0, 7, 8, 9)
SALT = bytes(range(32))
OTHER = (TENSORS[0], TensorSpec(name="bias", shape=(2,), exponent=15))


@given(st.integers(0, 3 * LEAF_BYTES + 1))
def test_body_id_is_the_root_over_pieces_of_64_kib(size: int) -> None:
    body = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    body = body[:size]

    pieces = [body[i : i + LEAF_BYTES] for i in range(0, size, LEAF_BYTES)]

    assert body_id(body) == body_id(memoryview(body)) == body_id(bytearray(body)) == root(pieces)


def test_a_piece_has_65536_bytes() -> None:
    body = bytes(65_537)

    assert body_id(body) == root([bytes(65_536), bytes(1)])


def test_body_id_of_nothing_is_the_empty_root() -> None:
    assert body_id(b"") == EMPTY_ROOT


def test_model_body_has_its_documented_layout() -> None:
    table = encode_as(TensorTable, TENSORS)

    body = encode_model_body(TENSORS, VALUES)

    assert body == struct.pack(">I", len(table)) + table + VALUES
    assert len(body) == body_bytes(TENSORS, is_update=False)
    assert model_id(TENSORS, VALUES) == body_id(body)


def test_update_body_is_a_model_body_behind_its_salt() -> None:
    body = encode_update_body(SALT, TENSORS, memoryview(VALUES))

    assert body == SALT + encode_model_body(TENSORS, VALUES)
    assert len(body) == body_bytes(TENSORS, is_update=True)
    assert body_id(body) != body_id(encode_update_body(bytes(32), TENSORS, VALUES))


def test_values_come_back_without_a_copy() -> None:
    body = encode_update_body(SALT, TENSORS, VALUES)

    values = decode_update_body(body, TENSORS)

    assert bytes(values) == bytes(decode_model_body(body[SALT_BYTES:], TENSORS)) == VALUES
    assert values.obj is body


@pytest.mark.parametrize("change", [b"", b"\0", b"\0\0\0\0"], ids=["short", "one more", "4 more"])
def test_a_body_of_another_size_is_refused(change: bytes) -> None:
    body = encode_model_body(TENSORS, VALUES)
    wrong = body + change if change else body[:-1]

    with pytest.raises(DecodeError, match=f"a model's body of {len(body)} bytes, got {len(wrong)}"):
        decode_model_body(wrong, TENSORS)
    with pytest.raises(DecodeError, match="an update's body"):
        decode_update_body(SALT + wrong, TENSORS)


def test_a_body_with_another_table_is_refused() -> None:
    body = encode_model_body(OTHER, VALUES)

    with pytest.raises(DecodeError, match="not the contract's"):
        decode_model_body(body, TENSORS)


def test_a_model_body_is_no_update_body() -> None:
    body = encode_model_body(TENSORS, VALUES)

    with pytest.raises(DecodeError, match="expected an update's body"):
        decode_update_body(body, TENSORS)


def test_encoding_refuses_values_that_do_not_fit_the_table() -> None:
    with pytest.raises(DecodeError, match="expected a model's body"):
        encode_model_body(TENSORS, VALUES[:-4])
    with pytest.raises(DecodeError, match="expected 32 random bytes, got 31"):
        encode_update_body(SALT[1:], TENSORS, VALUES)
