"""The one canonical byte form of everything that is hashed, signed, stored or sent (rule P2).

A record is a frozen dataclass whose fields are annotated with one of the kinds below
(`U64`, `Digest`, `text(64)` ...) or a union of such records. From the annotations alone follow

* `encode` / `decode`: a msgpack array of the fields in order, shortest forms only; no map,
  float, boolean, nil or extension type exists in it. A class with a `KIND` puts that number first,
  one that says `IS_KEPT_ENCODED` (and has no slots) is turned into such an array once per object;
* `fixed_bytes`: the injective fixed layout (big endian) that signatures cover (rule P3).

`decode` re-encodes what it read and compares bytes, so every value has exactly one encoding, and
raises nothing but `DecodeError`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import IntEnum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Annotated, TypeVar, get_args, get_origin, get_type_hints

import msgpack

from ledger.errors import DecodeError
from ledger.kept import kept
from ledger.record_codec import Codec, Value, record_codec, shown

Record = TypeVar("Record")

DOMAIN_TAG_BYTES = 16
MESSAGE_BYTES_MAX = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of `bits` bits, big endian in the fixed layout."""

    bits: int
    signed: bool = False

    @property
    def minimum(self) -> int:
        """Smallest value that fits."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Largest value that fits."""
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes of a length between `minimum` and `maximum`, or empty when `optional`."""

    minimum: int
    maximum: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Characters:
    """Text of at most `maximum` bytes of UTF-8."""

    maximum: int


@dataclass(frozen=True, slots=True)
class Items:
    """A tuple of at most `maximum` items."""

    maximum: int


U8 = Annotated[int, Integer(8)]
U16 = Annotated[int, Integer(16)]
U32 = Annotated[int, Integer(32)]
U64 = Annotated[int, Integer(64)]
I32 = Annotated[int, Integer(32, signed=True)]
I64 = Annotated[int, Integer(64, signed=True)]
Digest = Annotated[bytes, Octets(32, 32)]
OptionalDigest = Annotated[bytes, Octets(32, 32, optional=True)]
PublicKey = Annotated[bytes, Octets(32, 32)]
Signature = Annotated[bytes, Octets(64, 64)]
Name = Annotated[str, Characters(64)]


def encode(record: object) -> bytes:
    """Return the canonical bytes of a record.

    Raises:
        DecodeError: If a field is outside its annotated range (a bug of the caller, reported in
            the same words as a peer's).
    """
    return pack(codec_of(type(record)).to_value(record))


def decode(kind: type[Record], data: bytes, *, bytes_max: int = MESSAGE_BYTES_MAX) -> Record:
    """Read one record of class `kind` from its canonical bytes.

    Args:
        kind: The record class; a generic one with its arguments, as `Signed[Vote]`.
        data: Bytes from anywhere.
        bytes_max: Largest accepted length in bytes, checked before anything else.

    Raises:
        DecodeError: If `data` is not the canonical encoding of such a record.
    """
    record = codec_of(kind).from_value(unpack(data, bytes_max=bytes_max), _name(kind))
    if encode_as(kind, record) != bytes(data):
        raise DecodeError(f"{_name(kind)}: bytes are not canonical: they re-encode differently")
    return record  # type: ignore[return-value]  # the codec of `kind` builds a `kind`


def encode_as(kind: object, record: object) -> bytes:
    """Return the canonical bytes of a record under an explicit (generic) type."""
    return pack(codec_of(kind).to_value(record))


def encoder(kind: object) -> Callable[[object], bytes]:
    """Return `encode_as` for one type, which is looked up once and not for every record."""
    to_value = codec_of(kind).to_value
    return lambda record: pack(to_value(record))


def fixed_bytes(record: object) -> bytes:
    """Return the fixed big-endian layout of a record's fields, which signatures cover (P3)."""
    return codec_of(type(record)).to_fixed(record)


def pack(value: Value) -> bytes:
    """Return the shortest msgpack form of a value."""
    packed = msgpack.packb(value, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def pack_encoded(items: Sequence[bytes]) -> bytes:
    """Return the array of items that are encoded already; they are taken as they are.

    Examples:
        >>> pack_encoded([pack(1), pack((2, b""))]) == pack((1, (2, b"")))
        True
    """
    header = msgpack.Packer().pack_array_header(len(items))
    assert isinstance(header, bytes)
    return b"".join((header, *items))


def unpack(data: bytes, *, bytes_max: int) -> object:
    """Return the msgpack value in `data` without trusting any of it.

    Raises:
        DecodeError: If it is too long, malformed, too deep or followed by more bytes.
    """
    if len(data) > bytes_max:
        raise DecodeError(f"expected at most {bytes_max} bytes, got {len(data)}")
    try:
        value: object = msgpack.unpackb(
            data, use_list=False, raw=False, strict_map_key=True, max_map_len=0, max_ext_len=0
        )
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise DecodeError(f"not one msgpack value: {type(error).__name__}") from None
    return value


@cache
def domain_tag(kind: str) -> bytes:
    r"""Return the 16-byte domain tag of a kind of signed or hashed bytes (rule P3).

    Examples:
        >>> domain_tag("block/1")
        b'fednode/block/1\x00'
    """
    tag = b"fednode/" + kind.encode("ascii")
    assert len(tag) <= DOMAIN_TAG_BYTES, f"domain tag too long: {kind}"
    return tag.ljust(DOMAIN_TAG_BYTES, b"\0")


def codec_of(hint: object) -> Codec:
    """Return the codec of an annotated type or record class."""
    return _codec_of(hint)


@cache
def _codec_of(hint: object) -> Codec:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated_codec(arguments[0], arguments[1])
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _enum_codec(hint)
    if isinstance(hint, UnionType):
        return _union_codec(arguments)
    record_class = origin if origin is not None else hint
    if isinstance(record_class, type) and is_dataclass(record_class):
        return _record_codec(record_class, arguments)
    raise TypeError(f"no canonical encoding for {hint!r}")


def _annotated_codec(base: object, kind: object) -> Codec:
    match kind:
        case Integer():
            return _integer_codec(kind)
        case Octets():
            return _octets_codec(kind)
        case Characters():
            return _characters_codec(kind)
        case Items():
            return _items_codec(_codec_of(get_args(base)[0]), kind)
        case _:
            raise TypeError(f"no canonical encoding for Annotated[..., {kind!r}]")


def _integer_codec(kind: Integer) -> Codec:
    minimum, maximum = kind.minimum, kind.maximum

    def check(value: object, where: str = "integer") -> int:
        # `True == 1` in Python, hence the exact type.
        if type(value) is not int or not minimum <= value <= maximum:
            expected = f"an integer from {minimum} to {maximum}"
            raise DecodeError(f"{where}: expected {expected}, got {shown(value)}")
        return value

    width = kind.bits // 8
    return Codec(
        check,
        check,
        lambda value: check(value).to_bytes(width, "big", signed=kind.signed),
        guard=f"type({{v}}) is int and {minimum} <= {{v}} <= {maximum}",
        layout=f"{{v}}.to_bytes({width}, 'big', signed={kind.signed})",
    )


def _octets_codec(kind: Octets) -> Codec:
    minimum, maximum, is_optional = kind.minimum, kind.maximum, kind.optional
    is_fixed = minimum == maximum

    def check(value: object, where: str = "bytes") -> bytes:
        if type(value) is not bytes or not (
            minimum <= len(value) <= maximum or (is_optional and not value)
        ):
            expected = f"{maximum}" if is_fixed else f"{minimum} to {maximum}"
            raise DecodeError(f"{where}: expected {expected} bytes, got {shown(value)}")
        return value

    def to_fixed(value: object) -> bytes:
        data = check(value)
        if is_optional:
            return (b"\1" + data) if data else bytes(1 + maximum)
        return data if is_fixed else struct.pack(">I", len(data)) + data

    is_plain = is_fixed and not is_optional
    fits = f"len({{v}}) == {maximum}" if is_fixed else f"{minimum} <= len({{v}}) <= {maximum}"
    return Codec(
        check,
        check,
        to_fixed,
        guard=f"type({{v}}) is bytes and ({fits}{' or not {v}' if is_optional else ''})",
        layout="{v}" if is_plain else "",
    )


def _characters_codec(kind: Characters) -> Codec:
    def check(value: object, where: str = "text") -> str:
        if type(value) is not str or len(_utf8(value, where)) > kind.maximum:
            expected = f"text of at most {kind.maximum} bytes"
            raise DecodeError(f"{where}: expected {expected}, got {shown(value)}")
        return value

    def to_fixed(value: object) -> bytes:
        data = _utf8(check(value), "text")
        return struct.pack(">I", len(data)) + data

    return Codec(check, check, to_fixed)


def _items_codec(item: Codec, kind: Items) -> Codec:
    def check(value: object, where: str = "list") -> tuple[object, ...]:
        if type(value) is not tuple or len(value) > kind.maximum:
            expected = f"a list of at most {kind.maximum} items"
            raise DecodeError(f"{where}: expected {expected}, got {shown(value)}")
        return value

    def to_value(value: object) -> Value:
        write = item.to_value
        return tuple([write(each) for each in check(value)])

    def from_value(value: object, where: str) -> object:
        read, built = item.from_value, []
        for each in check(value, where):
            try:
                built.append(read(each, ""))
            except DecodeError as error:
                raise DecodeError(f"{where}[{len(built)}]{error}") from None
        return tuple(built)

    def to_fixed(value: object) -> bytes:
        write, items = item.to_fixed, check(value)
        return struct.pack(">I", len(items)) + b"".join([write(each) for each in items])

    return Codec(to_value, from_value, to_fixed)


def _enum_codec(enumeration: type[IntEnum]) -> Codec:
    members = {int(member): member for member in enumeration}

    def from_value(value: object, where: str) -> object:
        if type(value) is not int or value not in members:
            raise DecodeError(f"{where}: expected one of {tuple(members)}, got {shown(value)}")
        return members[value]

    def number(value: object) -> int:
        if not isinstance(value, enumeration):
            raise DecodeError(f"{enumeration.__name__}: got {shown(value)}")
        return int(value)

    return Codec(number, from_value, lambda value: number(value).to_bytes(1, "big"))


def _union_codec(variants: tuple[type, ...]) -> Codec:
    """The class of a record writes it; the kind that its value begins with tells who reads it."""
    codecs = {int(each.KIND): _codec_of(each) for each in variants}  # type: ignore[attr-defined]
    of = attrgetter("KIND")

    def read(value: object, where: str) -> object:
        kind = value[0] if type(value) is tuple and value else value
        if type(kind) is not int or kind not in codecs:
            raise DecodeError(f"{where}: expected a kind of {tuple(codecs)}, got {shown(kind)}")
        return codecs[kind].from_value(value, where)

    return Codec(lambda r: codecs[of(r)].to_value(r), read, lambda r: codecs[of(r)].to_fixed(r))


def _record_codec(record_class: type, arguments: tuple[object, ...]) -> Codec:
    hints = get_type_hints(record_class, include_extras=True)
    parameters: tuple[object, ...] = getattr(record_class, "__parameters__", ())
    bound = dict(zip(parameters, arguments, strict=True))
    names = [each.name for each in fields(record_class)]
    codecs = {name: _codec_of(bound.get(hints[name], hints[name])) for name in names}
    kind = int(record_class.KIND) if hasattr(record_class, "KIND") else None
    codec = record_codec(record_class, codecs, kind)
    if hasattr(record_class, "IS_KEPT_ENCODED"):
        return replace(codec, to_value=kept(codec.to_value, name="_encoded"))
    return codec


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise DecodeError(f"{where}: expected text, got unpaired surrogates") from None


def _name(kind: object) -> str:
    return getattr(get_origin(kind) or kind, "__name__", str(kind))
