"""Results that are computed once per object, for objects that are asked again and again."""

from collections.abc import Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")


def kept(compute: Callable[[object], ResultT], *, name: str) -> Callable[[object], ResultT]:
    """Return `compute` for frozen objects without slots: each keeps its result under `name`."""

    def once(record: object) -> ResultT:
        found: dict[str, ResultT] = vars(record)
        if name not in found:
            found[name] = compute(record)
        return found[name]

    return once
