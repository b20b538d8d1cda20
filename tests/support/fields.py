"""Every field of a record, found from its class: where its bytes are, and how to forge it.

A *path* names a field without positions: `header.results.contributions[].weight`. The list itself
is the path `header.results.contributions`, and `evidence[].DoubleVote.first` one variant of a
union. A field that is added to a record appears by itself.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, get_args, get_origin, get_type_hints

from ledger.encoding import Characters, Integer, Items, Octets, encode_as, pack

if TYPE_CHECKING:
    from ledger.record_codec import Value

FRAME = "#"
"""The path of the bytes that say how long an array is, and of a record's kind."""


def paths(hint: object, path: str = "") -> Iterator[str]:
    """The paths of all fields of a class of records, nested ones included."""
    if isinstance(hint, UnionType):
        for variant in get_args(hint):
            yield from paths(variant, f"{path}.{variant.__name__}")
        return
    if _is_record(hint):
        for name, each in _hints(hint).items():
            yield from paths(each, f"{path}.{name}".removeprefix("."))
        return
    yield path
    if _is_list(hint):
        yield from paths(_item(hint), f"{path}[]")


def pieces(hint: object, value: object, path: str = "") -> Iterator[tuple[str, bytes]]:
    """The canonical bytes of a record cut into its fields; joined they are `encode(value)`."""
    if isinstance(hint, UnionType):
        hint, path = type(value), f"{path}.{type(value).__name__}"
    if _is_record(hint):
        kind = [int(value.KIND)] if hasattr(value, "KIND") else []
        hints = _hints(hint)
        yield f"{path}{FRAME}", _array_head(len(kind) + len(hints)) + b"".join(map(pack, kind))
        for name, each in hints.items():
            yield from pieces(each, getattr(value, name), f"{path}.{name}".removeprefix("."))
    elif _is_list(hint):
        assert isinstance(value, tuple)
        yield f"{path}{FRAME}", _array_head(len(value))
        for each in value:
            yield from pieces(_item(hint), each, f"{path}[]")
    else:
        yield path, encode_as(hint, value)


def changed(hint: object, value: object, path: str) -> object:
    """A copy of a record with one field forged, in the first item of each list on the way.

    The checks of the constructors are bypassed: a forger has no reason to run them.
    """
    if not path:
        return _other(hint, value)
    if path.startswith("[]"):
        assert isinstance(value, tuple)
        assert value, f"this record has no item to forge for {path}"
        return (changed(_item(hint), value[0], path[2:].removeprefix(".")), *value[1:])
    name = path.replace("[]", ".[]").partition(".")[0]
    rest = path.removeprefix(name).removeprefix(".")
    if isinstance(hint, UnionType):
        assert type(value).__name__ == name, f"this record has no {name} to forge"
        return changed(type(value), value, rest)
    return with_field(value, name, changed(_hints(hint)[name], getattr(value, name), rest))


def with_field(record: object, name: str, value: object) -> object:
    """A copy of a record with one field set, unchecked."""
    assert is_dataclass(record)
    copy = object.__new__(type(record))
    for each in fields(record):
        old = getattr(record, each.name)
        object.__setattr__(copy, each.name, value if each.name == name else old)
    return copy


def _other(hint: object, value: object) -> object:
    """Another value of the same type."""
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        # Where there is no other member, a number that is none: decoders must refuse it.
        unknown = int.__new__(hint, 255)
        return next((each for each in hint if each is not value), unknown)
    match get_args(hint)[1]:
        case Integer() as kind:
            assert isinstance(value, int)
            return value + 1 if value < kind.maximum else value - 1
        case Octets():
            assert isinstance(value, bytes)
            return bytes([value[0] ^ 1]) + value[1:]
        case Characters():
            return f"{value}x"
        case Items():
            assert isinstance(value, tuple)
            return value[:-1]
        case kind:
            raise AssertionError(f"no forgery for {kind}")


def _array_head(length: int) -> bytes:
    empty: tuple[Value, ...] = (0,) * length
    return pack(empty)[: -length or None]


def _is_record(hint: object) -> bool:
    return is_dataclass(get_origin(hint) or hint) and get_origin(hint) is not Annotated


def _is_list(hint: object) -> bool:
    return get_origin(hint) is Annotated and isinstance(get_args(hint)[1], Items)


def _item(hint: object) -> object:
    return get_args(get_args(hint)[0])[0]


@cache
def _hints(hint: object) -> dict[str, object]:
    """The annotations of a record class in order, type parameters filled in."""
    record_class = get_origin(hint) or hint
    assert isinstance(record_class, type)
    parameters: tuple[object, ...] = getattr(record_class, "__parameters__", ())
    bound = dict(zip(parameters, get_args(hint), strict=True))
    hints = get_type_hints(record_class, include_extras=True)
    return {
        each.name: bound.get(hints[each.name], hints[each.name]) for each in fields(record_class)
    }
