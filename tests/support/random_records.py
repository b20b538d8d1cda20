"""Random valid values of any record class, made from its annotations alone."""

import random
import string
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import IntEnum
from types import UnionType
from typing import Annotated, get_args, get_origin, get_type_hints

from ledger.encoding import Characters, Integer, Items, Octets
from ledger.errors import DecodeError

ATTEMPTS_MAX = 1000
ITEMS_MAX = 3
EDGE_SHARE = 0.3


def random_value(hint: object, rng: random.Random) -> object:
    """Return a random value of an annotated type; records obey their own checks."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _random_annotated(arguments[0], arguments[1], rng)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return rng.choice(list(hint))
    if isinstance(hint, UnionType):
        return random_value(rng.choice(arguments), rng)
    record_class = origin if origin is not None else hint
    assert isinstance(record_class, type)
    assert is_dataclass(record_class)
    for _ in range(ATTEMPTS_MAX):
        try:
            return _random_record(record_class, arguments, rng)
        except DecodeError:
            continue
    raise AssertionError(f"no random {record_class.__name__} passes its own checks")


def _random_annotated(base: object, kind: object, rng: random.Random) -> object:
    match kind:
        case Integer():
            edges = [kind.minimum, kind.maximum, 0, 1]
            small = rng.randint(max(kind.minimum, -2), min(kind.maximum, 300))
            return rng.choice(edges) if rng.random() < EDGE_SHARE else small
        case Octets():
            if kind.optional and rng.random() < EDGE_SHARE:
                return b""
            return rng.randbytes(rng.randint(kind.minimum, min(kind.maximum, kind.minimum + 40)))
        case Characters():
            length = rng.randint(0, min(kind.maximum, 20))
            return "".join(rng.choices(string.printable, k=length))
        case Items():
            count = rng.randint(0, min(kind.maximum, ITEMS_MAX))
            return tuple(random_value(get_args(base)[0], rng) for _ in range(count))
        case _:
            raise TypeError(f"no random value for {kind!r}")


def _random_record(
    record_class: Callable[..., object], arguments: tuple[object, ...], rng: random.Random
) -> object:
    hints = get_type_hints(record_class, include_extras=True)
    parameters: tuple[object, ...] = getattr(record_class, "__parameters__", ())
    bound = dict(zip(parameters, arguments, strict=True))
    assert is_dataclass(record_class)
    values = {
        each.name: random_value(bound.get(hints[each.name], hints[each.name]), rng)
        for each in fields(record_class)
    }
    if "bitmap" in values:
        # The one rule that random fields practically never obey: as many signatures as bits.
        bitmap = values["bitmap"]
        assert isinstance(bitmap, bytes)
        count = sum(byte.bit_count() for byte in bitmap)
        values["signatures"] = tuple(rng.randbytes(64) for _ in range(count))
    return record_class(**values)
