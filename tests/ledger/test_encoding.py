"""One value, one encoding; nothing but `DecodeError` out of a decoder (rule P2)."""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated, ClassVar

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import (
    I32,
    U8,
    U16,
    U64,
    Digest,
    Items,
    Name,
    Octets,
    OptionalDigest,
    codec_of,
    decode,
    domain_tag,
    encode,
    encode_as,
    fixed_bytes,
)
from ledger.errors import DecodeError
from ledger.genesis import Contract, Genesis
from ledger.keys import Signed
from ledger.powers import ValidatorSet
from ledger.record_codec import record_codec
from ledger.records import Block, HaveList, QuorumCertificate, UpdateHeader, Vote
from ledger.state import State
from tests.support.ledger import chain, commits, contract, genesis, keys


class Colour(IntEnum):
    RED = 1
    BLUE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: U8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One field of each kind."""

    KIND: ClassVar[Colour] = Colour.BLUE

    small: U16
    large: U64
    below: I32
    digest: Digest
    maybe: OptionalDigest
    some: Annotated[bytes, Octets(0, 5)]
    name: Name
    colour: Colour
    items: Annotated[tuple[Inner, ...], Items(3)]


SAMPLE = Sample(
    small=5,
    large=2**64 - 1,
    below=-1,
    digest=bytes(32),
    maybe=b"",
    some=b"ab",
    name="x",
    colour=Colour.RED,
    items=(Inner(number=7),),
)
SAMPLES = st.builds(
    Sample,
    small=st.integers(0, 2**16 - 1),
    large=st.integers(0, 2**64 - 1),
    below=st.integers(-(2**31), 2**31 - 1),
    digest=st.binary(min_size=32, max_size=32),
    maybe=st.sampled_from([b"", bytes(32), b"\xff" * 32]),
    some=st.binary(max_size=5),
    name=st.text(st.characters(codec="utf-8"), max_size=16),
    colour=st.sampled_from(Colour),
    items=st.lists(st.builds(Inner, number=st.integers(0, 255)), max_size=3).map(tuple),
)
MADE = chain(2)
TERMS = contract(4)
RECORDS: tuple[tuple[object, object], ...] = (
    (Block, MADE.blocks[1]),
    (QuorumCertificate, MADE.certificates[1]),
    (Signed[UpdateHeader], MADE.blocks[1].updates[0]),
    (Signed[HaveList], MADE.blocks[1].haves[0]),
    (Signed[Vote], commits(MADE.blocks[1], {0: MADE.keys[0]})[0]),
    (Contract, TERMS),
    (Genesis, genesis(TERMS, keys(4))),
    (State, MADE.state),
    (ValidatorSet, MADE.state.validators),
)


def read(hint: object, data: bytes) -> object:
    return decode(hint, data)  # type: ignore[arg-type]  # generic records are no plain types


@given(SAMPLES)
def test_every_value_reads_back_as_itself(sample: Sample) -> None:
    assert decode(Sample, encode(sample)) == sample


@given(SAMPLES, SAMPLES)
def test_different_values_have_different_bytes_in_both_layouts(one: Sample, other: Sample) -> None:
    assert (encode(one) == encode(other)) is (one == other)
    assert (fixed_bytes(one) == fixed_bytes(other)) is (one == other)


@pytest.mark.parametrize(("hint", "record"), RECORDS, ids=lambda each: type(each).__name__)
def test_every_record_reads_back_as_itself(hint: object, record: object) -> None:
    data = encode_as(hint, record)

    assert read(hint, data) == record
    assert type(read(hint, data)) is type(record)


@pytest.mark.parametrize(("hint", "record"), RECORDS, ids=lambda each: type(each).__name__)
def test_no_record_is_read_as_another_kind(hint: object, record: object) -> None:
    data = encode_as(hint, record)
    others = [other for other, _ in RECORDS if other != hint]

    for other in others:
        with pytest.raises(DecodeError):
            read(other, data)


def packed(**changes: object) -> bytes:
    """A sample in msgpack with one part replaced by raw bytes."""
    parts: dict[str, object] = {
        "kind": b"\x05",
        "small": b"\x05",
        "large": b"\xcf" + b"\xff" * 8,
        "below": b"\xff",
        "digest": b"\xc4\x20" + bytes(32),
        "maybe": b"\xc4\x00",
        "some": b"\xc4\x02ab",
        "name": b"\xa1x",
        "colour": b"\x01",
        "items": b"\x91\x91\x07",
    }
    parts.update(changes)
    return b"\x9a" + b"".join(part for part in parts.values() if isinstance(part, bytes))


def test_the_parts_of_the_table_below_make_the_sample() -> None:
    assert packed() == encode(SAMPLE)


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ("small", b"\xcc\x05"),
        ("small", b"\xcd\x00\x05"),
        ("small", b"\xce\x00\x00\x00\x05"),
        ("small", b"\xcf" + bytes(7) + b"\x05"),
        ("small", b"\xd0\x05"),
        ("small", b"\xd1\x00\x05"),
        ("small", b"\xd3" + bytes(7) + b"\x05"),
        ("below", b"\xd0\xff"),
        ("below", b"\xd3" + b"\xff" * 8),
        ("digest", b"\xc5\x00\x20" + bytes(32)),
        ("digest", b"\xc6\x00\x00\x00\x20" + bytes(32)),
        ("name", b"\xd9\x01x"),
        ("name", b"\xda\x00\x01x"),
        ("items", b"\xdc\x00\x01\x91\x07"),
        ("items", b"\xdd\x00\x00\x00\x01\x91\x07"),
        ("items", b"\x91\xdc\x00\x01\x07"),
    ],
)
def test_a_longer_form_of_the_same_value_is_refused(part: str, data: bytes) -> None:
    """All of these msgpack reads without complaint."""
    changed = packed(**{part: data})

    assert msgpack.unpackb(changed, use_list=False) == msgpack.unpackb(packed(), use_list=False)
    with pytest.raises(DecodeError, match="not canonical"):
        decode(Sample, changed)


@pytest.mark.parametrize(
    ("part", "data", "reason"),
    [
        ("small", b"\xc3", "small: expected an integer from 0 to 65535, got True"),
        ("small", b"\xc0", "small: expected an integer from 0 to 65535, got NoneType"),
        ("small", b"\xca\x40\xa0\x00\x00", "got float"),
        ("small", b"\xcb\x40\x14" + bytes(6), "got float"),
        ("small", b"\xce\x00\x01\x00\x00", "got 65536"),
        ("small", b"\xff", "got -1"),
        ("small", b"\xa15", "got text of 1 characters"),
        ("below", b"\xce\x80\x00\x00\x00", "got 2147483648"),
        ("digest", b"\xc4\x1f" + bytes(31), "digest: expected 32 bytes, got 31 bytes"),
        ("digest", b"\xc4\x00", "got 0 bytes"),
        ("digest", b"\xd9\x20" + b"a" * 32, "got text of 32 characters"),
        ("maybe", b"\xc4\x01a", "maybe: expected 32 bytes, got 1 bytes"),
        ("some", b"\xc4\x06abcdef", "some: expected 0 to 5 bytes, got 6 bytes"),
        ("name", b"\xd9\x41" + b"x" * 65, "name: expected text of at most 64 bytes"),
        ("name", b"\xc4\x01x", "got 1 bytes"),
        ("name", b"\xa1\xff", "not one msgpack value"),
        ("name", b"\xa3\xed\xa0\x80", "not one msgpack value"),
        ("colour", b"\x02", r"colour: expected one of \(1, 5\), got 2"),
        ("colour", b"\xc3", "got True"),
        ("kind", b"\x01", "Sample: expected kind 5, got 1"),
        ("kind", b"\xc3", "expected kind 5, got True"),
        ("items", b"\x94" + b"\x91\x07" * 4, "items: expected a list of at most 3 items"),
        ("items", b"\x91\x92\x07\x07", r"items\[0\]: expected an array of 1, got a list of 2"),
        ("items", b"\x91\x07", r"items\[0\]: expected an array of 1, got 7"),
        ("items", b"\x81\x00\x91\x07", "not one msgpack value"),
        ("items", b"\x80", "got dict"),
        ("items", b"\xd4\x01\x00", "not one msgpack value"),
        ("items", b"\xd6\xff\x00\x00\x00\x00", "not one msgpack value|got Timestamp"),
        ("items", b"", "not one msgpack value"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_reason(
    part: str, data: bytes, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode(Sample, packed(**{part: data}))


def test_bytes_after_the_value_are_refused() -> None:
    with pytest.raises(DecodeError, match="not one msgpack value"):
        decode(Sample, packed() + b"\x00")


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    data = packed()

    assert decode(Sample, data, bytes_max=len(data)) == SAMPLE
    with pytest.raises(DecodeError, match=f"at most {len(data) - 1} bytes, got {len(data)}"):
        decode(Sample, data, bytes_max=len(data) - 1)


@pytest.mark.parametrize("depth", [3, 20, 511, 512, 1023, 1024, 5000, 1_000_000])
def test_deep_nesting_is_refused_whatever_its_depth(depth: int) -> None:
    with pytest.raises(DecodeError):
        decode(Sample, b"\x91" * depth + b"\x05")


@pytest.mark.parametrize(
    "claim", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdf\0\0\0\1"]
)
def test_a_claimed_length_that_is_not_there_is_refused(claim: bytes) -> None:
    with pytest.raises(DecodeError, match="not one msgpack value"):
        decode(Sample, claim)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_decode_error(data: bytes) -> None:
    for hint, _ in RECORDS:
        with pytest.raises(DecodeError):
            read(hint, data)


@settings(max_examples=300)
@given(st.sampled_from(RECORDS), st.data())
def test_a_changed_byte_is_refused_or_reads_as_another_value_with_just_these_bytes(
    case: tuple[object, object], data: st.DataObject
) -> None:
    hint, record = case
    changed = bytearray(encode_as(hint, record))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        other = read(hint, bytes(changed))
    except DecodeError:
        return
    assert other != record
    assert encode_as(hint, other) == bytes(changed)


def test_encoding_refuses_what_could_not_be_read_back() -> None:
    for field, value in (
        ("small", 2**16),
        ("small", True),
        ("digest", bytes(31)),
        ("digest", bytearray(32)),
        ("name", "\ud800"),
        ("colour", 1),
        ("items", [Inner(number=7)]),
        ("items", (Sample,)),
    ):
        wrong = replace(SAMPLE, **{field: value})  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(DecodeError):
            encode(wrong)
        with pytest.raises(DecodeError):
            fixed_bytes(wrong)


def test_fixed_layout_is_big_endian_with_lengths_where_lengths_vary() -> None:
    """Rule P3."""
    assert fixed_bytes(SAMPLE) == b"".join(
        [
            struct.pack(">HQi", 5, 2**64 - 1, -1),
            bytes(32),
            bytes(33),
            struct.pack(">I", 2) + b"ab",
            struct.pack(">I", 1) + b"x",
            b"\x01",
            struct.pack(">I", 1) + b"\x07",
        ]
    )
    assert bytes(33) + b"\0\0\0\2" not in fixed_bytes(replace(SAMPLE, maybe=bytes(32)))


def test_a_domain_tag_has_sixteen_bytes() -> None:
    """Rule P3."""
    assert domain_tag("vote/1") == b"fednode/vote/1\0\0"
    with pytest.raises(AssertionError, match="too long"):
        domain_tag("certificate/1")


@pytest.mark.parametrize("hint", [float, Annotated[float, "any"], dict[str, int]])
def test_a_type_without_a_canonical_form_is_our_own_mistake(hint: object) -> None:
    with pytest.raises(TypeError, match="no canonical encoding"):
        codec_of(hint)


def test_the_codec_of_a_field_has_the_last_word_on_what_a_guard_lets_by() -> None:
    """Rule P2: the generated reader is quicker, and never stricter or laxer."""
    narrow = replace(codec_of(U8), guard="{v} == 7")
    codec = record_codec(Inner, {"number": narrow}, None)

    read = [codec.from_value((number,), "inner") for number in (7, 9)]

    assert read == [Inner(number=7), Inner(number=9)]
    with pytest.raises(DecodeError, match=r"inner\.number: expected an integer from 0 to 255"):
        codec.from_value((256,), "inner")
