"""Model files: canonical, readable by the safetensors library, and tied to the ledger's ids."""

import json
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load

from ledger.__main__ import EXIT_FINDINGS, EXIT_HOLDS, main
from ledger.bodies import model_id
from ledger.encoding import encode
from ledger.errors import DecodeError
from ledger.model_file import (
    HEADER_BYTES_MAX,
    decode_model_file,
    encode_model_file,
    model_findings,
    origin_metadata,
)
from ledger.tensors import TensorSpec
from tests.support.forgery import Forgery
from tests.support.ledger import TENSORS, Chain, chain, genesis, stub_chain
from tests.support.sealing import reseal

VALUES = np.arange(-4, 4, dtype="<i4") * 1000
METADATA = {"note": "größer", "chain_id": "00"}
FILE = encode_model_file(TENSORS, VALUES.tobytes(), METADATA)


def test_a_model_file_is_read_back() -> None:
    model = decode_model_file(FILE)

    assert model.tensors == TENSORS
    assert model.values == VALUES.tobytes()
    assert dict(model.metadata) == METADATA
    assert model.model_id == model_id(TENSORS, VALUES.tobytes())


def test_the_safetensors_library_reads_the_same_values(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(FILE)

    tensors = load(FILE)

    assert set(tensors) == {spec.name for spec in TENSORS}
    np.testing.assert_array_equal(tensors["weight"], VALUES[:6].reshape(3, 2))
    np.testing.assert_array_equal(tensors["bias"], VALUES[6:])
    assert tensors["bias"].dtype == np.int32
    with safe_open(str(tmp_path / "model.safetensors"), framework="np") as opened:
        assert opened.metadata() == {**METADATA, "exponents": "[16,16]"}


@pytest.mark.parametrize(
    "tensors",
    [
        (TensorSpec(name="scalar", shape=(), exponent=0),),
        (TensorSpec(name='quote " and \\ and \n', shape=(1, 1, 1), exponent=255),),
        tuple(TensorSpec(name=f"layer.{i}", shape=(i,), exponent=i) for i in (3, 2, 1)),
    ],
)
def test_odd_tables_survive(tensors: tuple[TensorSpec, ...]) -> None:
    values = bytes(4 * sum(spec.size for spec in tensors))
    data = encode_model_file(tensors, values, {})

    assert decode_model_file(data).tensors == tensors
    assert set(load(data)) == {spec.name for spec in tensors}
    assert (struct.unpack_from("<Q", data)[0]) % 8 == 0


def rewritten(change: Callable[[dict[str, dict[str, object]]], object]) -> bytes:
    """The file with a header that a change made, in otherwise canonical JSON."""
    (length,) = struct.unpack_from("<Q", FILE)
    header = json.loads(FILE[8 : 8 + length])
    header = change(header) or header
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + FILE[8 + length :]


def test_the_rewriting_of_these_tests_is_itself_canonical() -> None:
    assert rewritten(lambda header: header) == FILE


def with_text(old: bytes, new: bytes) -> bytes:
    assert FILE.count(old) == 1
    assert len(old) == len(new)
    return FILE.replace(old, new)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a header length of 8 bytes, got 0"),
        (FILE[:7], "expected a header length of 8 bytes, got 7"),
        (struct.pack("<Q", HEADER_BYTES_MAX + 1) + FILE[8:], "expected a header of at most"),
        (struct.pack("<Q", len(FILE)) + FILE[8:], "expected a header of at most"),
        (FILE[:-1], "expected 32 bytes of values, got 31"),
        (FILE + b"\0", "expected 32 bytes of values, got 33"),
        (struct.pack("<Q", 0), "header: not JSON"),
        (struct.pack("<Q", 2) + b"[]", "expected a JSON object"),
        (struct.pack("<Q", 8) + b"[" * 8, "header: not JSON"),
        (struct.pack("<Q", 2) + b"{}", "expected __metadata__ to map text to text"),
        (with_text(b"\xc3\xb6", b"\xff\xff"), "the header is not UTF-8"),
        (with_text(b'"[16,16]"', b'"[16,160"'), "metadata exponents: not JSON"),
        (with_text(b'"[16,16]"', b'"[16,""]"'), "an integer from 0 to 255|not JSON"),
        (with_text(b'"[16,16]"', b'"[16, 6]"'), "not canonical"),
        (with_text(b'"shape":[2]', b'"shape":2  '), "expected an object with a shape"),
        (with_text(b'"data_offsets":[0,', b'"data_offsets":[9,'), "not canonical"),
        (rewritten(lambda h: h.pop("bias") and None), "expected one exponent for each"),
        (rewritten(lambda h: h.pop("__metadata__") and None), "expected __metadata__"),
        (rewritten(lambda h: h["__metadata__"].update(note=1)), "expected __metadata__ to map"),
        (rewritten(lambda h: h["bias"].update(dtype="F32")), "not canonical"),
        (rewritten(lambda h: h["bias"].update(more=1)), "not canonical"),
        (rewritten(lambda h: h["bias"].update(shape=[-2])), "an integer from 0 to"),
        (rewritten(lambda h: h["bias"].update(shape=[True, 2])), "an integer from 0 to"),
        (rewritten(lambda h: dict(reversed(h.items()))), "not canonical"),
        (with_text("größer".encode(), b"\\ud800xx"), "unpaired surrogates"),
    ],
)
def test_everything_but_the_canonical_form_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_model_file(data)


def test_only_decode_errors_leave_the_decoder(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3_000):
        data = bytearray(FILE)
        for _ in range(rng.choice((1, 1, 1, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            model = decode_model_file(bytes(data))
        except DecodeError:
            continue
        assert encode_model_file(model.tensors, model.values, dict(model.metadata)) == data


# --- Against a ledger ---------------------------------------------------------------------------


def with_model(values: bytes) -> Chain:
    """A ledger of three blocks whose second made a model with these values."""
    made = chain(1)
    block = made.build()
    results = replace(block.header.results, model_id=model_id(TENSORS, values))
    sealed = reseal(
        made.contract, made.state, replace(block, header=replace(block.header, results=results))
    )
    made.add(sealed)
    made.add(made.build(view=4))
    return made


MADE = with_model(VALUES.tobytes())


def model_of(made: Chain, height: int, values: bytes = VALUES.tobytes()) -> bytes:
    identity = model_id(TENSORS, values)
    return encode_model_file(
        TENSORS, values, origin_metadata(made.state.chain_id, height, identity)
    )


def test_the_model_that_a_block_made_is_that_of_the_ledger() -> None:
    assert model_findings(model_of(MADE, 2), MADE.contract, MADE.blocks) == ()


def test_the_initial_model_is_that_of_the_ledger() -> None:
    data = model_of(MADE, 0, bytes(32))

    assert model_findings(data, MADE.contract, MADE.blocks) == ()


@pytest.mark.parametrize(
    ("data", "field", "rule"),
    [
        (b"rubbish", "model", "P2"),
        (model_of(MADE, 1), "model.values", "P4"),
        (model_of(MADE, 2, bytes(32)), "model.values", "P4"),
        (model_of(MADE, 3), "model.height", "P50"),
        (model_of(MADE, 9), "model.height", "P50"),
        (encode_model_file(TENSORS, VALUES.tobytes(), {}), "model.height", "P50"),
        (encode_model_file(TENSORS, VALUES.tobytes(), {"height": "2"}), "model.metadata", "P1"),
        (model_of(stub_chain(0, n=7), 2), "model.metadata", "P1"),
    ],
)
def test_another_model_is_found(data: bytes, field: str, rule: str) -> None:
    found = model_findings(data, MADE.contract, MADE.blocks)

    assert (field, rule) in {(each.field, each.rule) for each in found}


def test_verify_finds_every_flipped_bit_of_a_model_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = model_of(MADE, 2)
    blocks = MADE.blocks

    missed = [
        (offset, bit)
        for offset in range(len(data))
        for bit in range(8)
        if not model_findings(
            data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :],
            MADE.contract,
            blocks,
        )
    ]

    assert missed == []
    (tmp_path / "genesis").write_bytes(encode(genesis(MADE.contract, MADE.keys)))
    (tmp_path / "export").write_bytes(
        Forgery(blocks=tuple(blocks), certificate=MADE.certificate).export
    )
    arguments = ["verify", str(tmp_path / "export"), "--genesis", str(tmp_path / "genesis")]
    arguments += ["--model", str(tmp_path / "model")]
    (tmp_path / "model").write_bytes(data)
    assert main(arguments) == EXIT_HOLDS
    (tmp_path / "model").write_bytes(data[:-1] + b"\x01")
    assert main(arguments) == EXIT_FINDINGS
    assert "height 2 field model.values rule P4: expected the values" in capsys.readouterr().out
