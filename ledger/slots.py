"""Frozen records that are cheap to build: their fields are stored through their slots.

A frozen dataclass stores every field by `object.__setattr__`, which looks the slot up by its name.
Most of what a node does is to build small records, so that this was a tenth of its time.
"""

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from types import FunctionType

RecordT = TypeVar("RecordT")


def slotted(record_class: type[RecordT]) -> type[RecordT]:
    """Return a frozen, slotted, keyword-only dataclass with a cheaper constructor.

    It takes the same arguments, fills the same slots and calls `__post_init__` in the end; to store
    a field afterwards raises as before.

    Args:
        record_class: Without default factories, and each of its fields a slot of its own.
    """
    names = [each.name for each in fields(record_class)]  # type: ignore[arg-type]  # a dataclass
    known: dict[str, object] = {}
    parameters = []
    for each in fields(record_class):  # type: ignore[arg-type]
        assert each.init, f"{record_class.__name__}.{each.name}: no field that is computed"
        assert each.default_factory is MISSING, f"{record_class.__name__}.{each.name}: a factory"
        known[f"store_{each.name}"] = vars(record_class)[each.name].__set__
        if each.default is MISSING:
            parameters.append(each.name)
        else:
            known[f"default_{each.name}"] = each.default
            parameters.append(f"{each.name}=default_{each.name}")
    assert parameters, f"{record_class.__name__}: no fields, so nothing to store"
    lines = [f"def __init__(self, *, {', '.join(parameters)}):"]
    lines += [f" store_{name}(self, {name})" for name in names]
    if hasattr(record_class, "__post_init__"):
        lines.append(" self.__post_init__()")
    made: dict[str, FunctionType] = {}
    exec("\n".join(lines), known, made)  # noqa: S102  # as dataclasses make theirs; names are ours
    constructor = made["__init__"]
    constructor.__annotations__ = dict(record_class.__init__.__annotations__)
    constructor.__qualname__ = f"{record_class.__qualname__}.__init__"
    setattr(record_class, "__init__", constructor)  # noqa: B010  # mypy refuses the plain form
    return record_class
