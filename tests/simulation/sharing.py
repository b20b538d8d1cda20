"""What the nodes of one world compute together: pure functions of the same objects, found once.

All nodes of a world get the same block and state objects, so a pure function that was called with
these very objects before has nothing new to find. The checkers share what the nodes found, because
it follows from the same two things; full-node seeds do without all of this.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from ledger import membership, state, validity
from tests.simulation import aggregate
from tests.simulation.patching import all_replaced

P = ParamSpec("P")
T = TypeVar("T")
SHARED: tuple[Callable[..., object], ...] = (
    validity.check_block,
    state.apply,
    state.initial_state,
    membership.contract_in_force,
    aggregate.needed_bodies,
    aggregate.recomputes,
)
"""Pure functions whose arguments are immutable; equal results of theirs are the same object."""


@contextmanager
def shared_results() -> Iterator[None]:
    """Let whoever calls a shared function with the same objects get what it returned before."""
    with all_replaced({function: remembering(function) for function in SHARED}):
        yield


def remembering(function: Callable[P, T]) -> Callable[P, T]:
    """Return `function` that looks up by the identity of its arguments what it returned."""
    # The arguments are kept with the result, so that their identities are not given to others.
    known: dict[tuple[int, ...], tuple[tuple[object, ...], T]] = {}

    def remembered(*arguments: P.args, **named: P.kwargs) -> T:
        given = (*arguments, *named.values())
        key = tuple(map(id, given))
        found = known.get(key)
        if found is None:
            found = known[key] = given, function(*arguments, **named)
        return found[1]

    return remembered
