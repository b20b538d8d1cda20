"""A model as a file that safetensors libraries read, in one canonical form.

Layout: u64 little-endian length of the header, the header as JSON, the values. Canonical means: no
whitespace but the spaces that pad the header to a multiple of 8 bytes; `__metadata__` first, its
keys sorted; tensors in the order of the contract's table, of dtype I32, without gaps. A value is
`integer * 2**-exponent`; the exponents of the tensors, in order, stand in the metadata.

Reference: the safetensors format, github.com/huggingface/safetensors, README "Format".
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.bodies import VALUE_BYTES, model_id
from ledger.encoding import encode
from ledger.errors import DecodeError
from ledger.findings import Finding
from ledger.genesis import Contract, chain_id
from ledger.records import Block, BlockKind
from ledger.tensors import TENSORS_MAX, TensorSpec

HEADER_BYTES_MAX = 2**22
HEIGHT_DIGITS: Final = 20
METADATA: Final = "__metadata__"
EXPONENTS: Final = "exponents"
"""The reserved key of the metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What a model file holds: tensor table, values as little-endian int32, metadata."""

    tensors: tuple[TensorSpec, ...]
    values: bytes
    metadata: tuple[tuple[str, str], ...]

    @property
    def model_id(self) -> bytes:
        """The id by which blocks name this model (rule P4)."""
        return model_id(self.tensors, self.values)


def encode_model_file(
    tensors: tuple[TensorSpec, ...], values: bytes | memoryview, metadata: Mapping[str, str]
) -> bytes:
    """Return the canonical bytes of a model file.

    Args:
        tensors: The contract's tensor table.
        values: All values of all tensors in table order, little-endian int32.
        metadata: What else readers should know, as text; the key "exponents" is reserved.
    """
    assert EXPONENTS not in metadata, f"the metadata key {EXPONENTS!r} is reserved"
    assert METADATA not in {spec.name for spec in tensors}, f"the name {METADATA!r} is reserved"
    assert len(values) == VALUE_BYTES * sum(spec.size for spec in tensors), "values fit no table"
    exponents = json.dumps([spec.exponent for spec in tensors], separators=(",", ":"))
    header: dict[str, object] = {METADATA: dict(sorted({**metadata, EXPONENTS: exponents}.items()))}
    offset = 0
    for spec in tensors:
        end = offset + VALUE_BYTES * spec.size
        header[spec.name] = {
            "dtype": "I32",
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return b"".join((struct.pack("<Q", len(text)), text, values))


def decode_model_file(data: bytes) -> ModelFile:
    """Read a model file and prove that it is canonical: written again it gives the same bytes.

    Magnitudes are not checked here; the model id settles which values they are.

    Raises:
        DecodeError: If it is anything but the canonical form of some model.
    """
    header, start = _read_header(data)
    metadata = _checked_metadata(header.pop(METADATA, None))
    exponents = _loads(metadata.pop(EXPONENTS, ""), f"metadata {EXPONENTS}")
    if type(exponents) is not list or len(exponents) != len(header) or len(header) > TENSORS_MAX:
        raise DecodeError(f"expected one exponent for each of at most {TENSORS_MAX} tensors")
    tensors = tuple(
        _checked_tensor(name, row, exponent)
        for (name, row), exponent in zip(header.items(), exponents, strict=True)
    )
    length = VALUE_BYTES * sum(spec.size for spec in tensors)
    if len(data) - start != length:
        raise DecodeError(f"expected {length} bytes of values, got {len(data) - start}")
    values = data[start:]
    if encode_model_file(tensors, memoryview(data)[start:], metadata) != data:
        raise DecodeError("the model file is not canonical: written again its header differs")
    return ModelFile(tensors=tensors, values=values, metadata=tuple(sorted(metadata.items())))


def _read_header(data: bytes) -> tuple[dict[str, object], int]:
    """Return the header and the offset of the values."""
    if len(data) < struct.calcsize("<Q"):
        raise DecodeError(f"expected a header length of 8 bytes, got {len(data)} bytes")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(HEADER_BYTES_MAX, len(data) - 8):
        raise DecodeError(f"expected a header of at most {HEADER_BYTES_MAX} bytes, got {length}")
    try:
        text = data[8 : 8 + length].decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"the header is not UTF-8 at byte {error.start}") from None
    header = _loads(text, "header")
    if type(header) is not dict:
        raise DecodeError("expected a JSON object as header")
    return header, 8 + length


def _loads(text: str, what: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{what}: not JSON: {type(error).__name__}") from None
    return value


def _checked_metadata(value: object) -> dict[str, str]:
    if type(value) is not dict or not all(type(each) is str for each in value.values()):
        raise DecodeError("expected __metadata__ to map text to text")
    metadata = dict(value)
    try:
        "".join((*metadata, *metadata.values())).encode("utf-8")
    except UnicodeEncodeError:
        raise DecodeError("expected text in __metadata__, got unpaired surrogates") from None
    return metadata


def _checked_tensor(name: str, row: object, exponent: object) -> TensorSpec:
    shape = row.get("shape") if type(row) is dict else None
    if type(shape) is not list:
        raise DecodeError(f"tensor {name!r}: expected an object with a shape")
    spec = TensorSpec(name=name, shape=tuple(shape), exponent=exponent)  # type: ignore[arg-type]
    # Names, shapes and exponents within their ranges, by the annotations of TensorSpec.
    encode(spec)
    return spec


def origin_metadata(origin: bytes, height: int, identity: bytes) -> dict[str, str]:
    """Return the metadata that say which chain made a model, and in which block.

    Args:
        origin: The chain id.
        height: Height of the AGGREGATE block that made it, 0 for the initial model.
        identity: The model id.
    """
    return {"chain_id": origin.hex(), "height": str(height), "model_id": identity.hex()}


def model_findings(data: bytes, contract: Contract, blocks: Sequence[Block]) -> tuple[Finding, ...]:
    """Return what is wrong with a model file that blocks 1 to H of a chain should name.

    Every byte counts: its metadata must be those of `origin_metadata`, no more and no less.
    """
    try:
        model = decode_model_file(data)
    except DecodeError as error:
        return (Finding(height=0, field="model", rule="P2", text=str(error)),)
    metadata = dict(model.metadata)
    made = {0: contract.model.initial_model_id}
    made |= {
        block.header.height: block.header.results.model_id
        for block in blocks
        if block.header.kind is BlockKind.AGGREGATE
    }
    text = metadata.get("height", "")
    height = int(text) if text.isascii() and text.isdecimal() and len(text) < HEIGHT_DIGITS else -1
    if height not in made:
        why = f"expected the height of a block that made a model, got {text[:80]!r}"
        return (Finding(height=0, field="model.height", rule="P50", text=why),)
    found = []
    if model.model_id != made[height]:
        expected, got = made[height].hex(), model.model_id.hex()
        why = f"expected the values of model {expected}, got those of {got}"
        found.append(Finding(height=height, field="model.values", rule="P4", text=why))
    if metadata != origin_metadata(chain_id(contract), height, made[height]):
        why = f"expected those of the model of height {height} of this chain and no others"
        found.append(Finding(height=height, field="model.metadata", rule="P1", text=why))
    return tuple(found)
