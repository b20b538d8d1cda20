"""Rule P37: whatever arrives, an engine keeps a bounded number of things."""

from typing import TYPE_CHECKING

from tests.simulation.packets import ViolationError

if TYPE_CHECKING:
    from tests.simulation.node import Node

ITEMS_PER_MEMBER_MAX = 400
OWN = ("consensus.",)


def check_buffers(node: "Node") -> None:
    """Compare what an engine holds in its own containers with a bound per member."""
    bound = ITEMS_PER_MEMBER_MAX * node.world.settings.members
    held = count_items(node.engine, set())
    if held > bound:
        raise ViolationError(f"buffers: member {node.member} holds {held} items, at most {bound}")


def count_items(value: object, seen: set[int], owners: tuple[str, ...] = OWN) -> int:
    """Number of items in all containers below an object of the `owners`' packages."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, dict):
        return len(value) + sum(count_items(each, seen, owners) for each in value.values())
    if isinstance(value, list | set | frozenset | tuple):
        return len(value) + sum(count_items(each, seen, owners) for each in value)
    if type(value).__module__.startswith(owners):
        names = list(getattr(value, "__dict__", ()))
        for base in type(value).__mro__:
            slots = getattr(base, "__slots__", ())
            names += (slots,) if isinstance(slots, str) else slots
        return sum(count_items(getattr(value, name, None), seen, owners) for name in names)
    return 0
