"""The codec of a record class, made of those of its fields: one generated function per direction.

A record is encoded for every signature, vote and hash, so its functions are written out once per
class, with the checks of plain fields in place: no loop, and no call for an integer or a digest.
Whatever a generated function does not accept goes to a plain one, which names what is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from ledger.errors import DecodeError

if TYPE_CHECKING:
    from types import FunctionType

Value: TypeAlias = "int | bytes | str | tuple[Value, ...]"
Reader: TypeAlias = Callable[[object, str], object]
"""Makes a field or record of an unpacked value; the text is the path that its errors begin with."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How one annotated type is written to a value, read back, and laid out for signing.

    `from_value` takes the path that its errors begin with. What is inside a record or list is read
    with an empty path, and the path is put together only when there is an error.

    Attributes:
        guard: For values that are written and read as they are, a Python expression that holds for
            those that the codec accepts, with `{v}` for the value.
        layout: The same for the bytes of an accepted value in the fixed layout.
    """

    to_value: Callable[[object], Value]
    from_value: Reader
    to_fixed: Callable[[object], bytes]
    guard: str = ""
    layout: str = ""


def record_codec(record_class: type, fields: dict[str, Codec], kind: int | None) -> Codec:
    """Return the codec of a record class.

    Args:
        record_class: A frozen dataclass that is built with keywords.
        fields: The codecs of its fields, in order.
        kind: The number that its value begins with, if any.
    """
    known: dict[str, object] = {
        "record_class": record_class,
        "refuse": _refusal(record_class),
        "read_slowly": _plain_reader(record_class, fields, kind),
        "DecodeError": DecodeError,
    }
    for i, codec in enumerate(fields.values()):
        known |= {f"write{i}": codec.to_value, f"read{i}": codec.from_value}
        known[f"lay{i}"] = codec.to_fixed
    source = "\n".join(
        [*_writer_lines(fields, kind), *_layout_lines(fields), *_reader_lines(fields, kind)]
    )
    made: dict[str, FunctionType] = {}
    exec(source, known, made)  # noqa: S102  # numbers and names of our own classes only
    return Codec(made["to_value"], made["from_value"], made["to_fixed"])


def _writer_lines(fields: dict[str, Codec], kind: int | None) -> list[str]:
    items = [
        f"v{i}" if codec.guard else f"write{i}(v{i})" for i, codec in enumerate(fields.values())
    ]
    items[:0] = [] if kind is None else [str(kind)]
    return [*_taken("to_value", fields), f"    return ({''.join(f'{each}, ' for each in items)})"]


def _layout_lines(fields: dict[str, Codec]) -> list[str]:
    items = [
        codec.layout.format(v=f"v{i}") if codec.layout else f"lay{i}(v{i})"
        for i, codec in enumerate(fields.values())
    ]
    return [
        *_taken("to_fixed", fields),
        f"    return b''.join(({''.join(f'{e}, ' for e in items)}))",
    ]


def _taken(name: str, fields: dict[str, Codec]) -> list[str]:
    """Lines that take a record apart and refuse what its plain fields may not hold."""
    lines = [f"def {name}(record):", "    if type(record) is not record_class:", _REFUSE]
    for i, (field, codec) in enumerate(fields.items()):
        lines.append(f"    v{i} = record.{field}")
        if codec.guard:
            lines += [f"    if not ({codec.guard.format(v=f'v{i}')}):", f"        write{i}(v{i})"]
    return lines


def _reader_lines(fields: dict[str, Codec], kind: int | None) -> list[str]:
    count = len(fields) + (kind is not None)
    names = [*([] if kind is None else ["kind"]), *(f"v{i}" for i in range(len(fields)))]
    guards = [] if kind is None else ["type(kind) is int", f"kind == {kind}"]
    guards += [
        f"({codec.guard.format(v=f'v{i}')})"
        for i, codec in enumerate(fields.values())
        if codec.guard
    ]
    arguments = [
        f"{name}=v{i}" if codec.guard else f"{name}=read{i}(v{i}, '')"
        for i, (name, codec) in enumerate(fields.items())
    ]
    return [
        "def from_value(value, where):",
        f"    if type(value) is tuple and len(value) == {count}:",
        f"        [{', '.join(names)}] = value",
        f"        if {' and '.join(guards) or 'True'}:",
        "            try:",
        f"                return record_class({', '.join(arguments)})",
        "            except DecodeError:",
        "                pass",
        "    return read_slowly(value, where)",
    ]


def _refusal(record_class: type) -> Callable[[object], None]:
    def refuse(record: object) -> None:
        raise DecodeError(f"expected a {record_class.__name__}, got {shown(record)}")

    return refuse


def _plain_reader(record_class: type, fields: dict[str, Codec], kind: int | None) -> Reader:
    """Read a record field by field, so that an error names the first one that is wrong."""
    head = 0 if kind is None else 1
    length = head + len(fields)

    def from_value(value: object, where: str) -> object:
        if type(value) is not tuple or len(value) != length:
            raise DecodeError(f"{where}: expected an array of {length}, got {shown(value)}")
        if head and (type(value[0]) is not int or value[0] != kind):
            raise DecodeError(f"{where}: expected kind {kind}, got {shown(value[0])}")
        arguments: dict[str, object] = {}
        for (name, codec), item in zip(fields.items(), value[head:], strict=True):
            try:
                arguments[name] = codec.from_value(item, "")
            except DecodeError as error:
                raise DecodeError(f"{where}.{name}{error}") from None
        try:
            built: object = record_class(**arguments)
        except DecodeError as error:
            raise DecodeError(f"{where}: {error}") from None
        return built

    return from_value


def shown(value: object) -> str:
    """Return what an error says about a value that was not accepted: never much of it."""
    match value:
        case bytes():
            return f"{len(value)} bytes"
        case tuple():
            return f"a list of {len(value)}"
        case str():
            return f"text of {len(value)} characters"
        case int():
            return f"{value}" if abs(value) < 1 << 64 else "a large integer"
        case _:
            return type(value).__name__


_REFUSE: Final = "        refuse(record)"
