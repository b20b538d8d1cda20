"""Copies of running engines, and keys by which equal ones are recognised.

An engine is a small graph of mutable objects over immutable values (frozen records, bytes, numbers)
that all copies may share. `copied` copies the graph; `Keys` turns it into nested tuples that are
equal exactly when the graphs are, as far as anything that the engine does later depends on it.
"""

from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from typing import Final, cast

from consensus.asking import Asking
from consensus.collect import Collection
from consensus.desk import Desk
from consensus.engine import Engine
from consensus.messages import ProposalMessage
from consensus.past import Past
from consensus.rules import Facts
from consensus.votes import Ballot
from ledger.genesis import Contract
from ledger.powers import ValidatorSet
from ledger.state import State

OWN: Final = ("consensus.", "tests.")
SHARED: Final = (Collection,)
"""Mutable, but complete before views begin: no copy changes it (`World` checks that)."""
SAME: Final = (Asking, Collection, Contract, State, ValidatorSet, Past, partial)
"""The same in every branch at its first height, or read only after it."""
CONTAINERS: Final = frozenset({dict, list, set, tuple})
WITHOUT_EFFECT: Final[dict[type, frozenset[str]]] = {
    # A counter only has to be new, and starts from the clock; notices are for people; what is
    # durable decides whether a `Persist` is wanted, which nothing here waits for.
    Desk: frozenset({"_counter", "_notices", "_durable", "now_ms", "scheme", "public_keys"}),
    # The certificate made of the votes is made again where it is missing.
    Ballot: frozenset({"made"}),
    # Follows from the leaders, which are part of every key.
    Facts: frozenset({"proposers"}),
    Engine: frozenset({"_proposals"}),
}


def copied(engine: Engine) -> Engine:
    """Return an engine that goes on from the same point without touching the first one."""
    return cast("Engine", _copied(engine, {}))


def _copied(value: object, known: dict[int, object]) -> object:
    kind = type(value)
    if kind is dict:
        return {
            name: _copied(each, known) for name, each in cast("dict[object, object]", value).items()
        }
    if kind is list:
        return [_copied(each, known) for each in cast("list[object]", value)]
    if kind is set:
        return set(cast("set[object]", value))
    if kind is partial:
        bound = cast("partial[object]", value)
        return partial(bound.func, *(_copied(each, known) for each in bound.args))
    if not is_mutable(kind):
        return value
    copy = known.get(id(value))
    if copy is None:
        copy = known[id(value)] = object.__new__(kind)
        for name in attributes(value):
            object.__setattr__(copy, name, _copied(getattr(value, name), known))
    return copy


def is_mutable(kind: type) -> bool:
    """Whether objects of this class change: ours, not frozen, and not shared by all copies."""
    known = _MUTABLE.get(kind)
    if known is None:
        is_ours = kind.__module__.startswith(OWN) and not issubclass(kind, Enum)
        known = is_ours and kind not in SHARED and not _is_frozen(kind)
        _MUTABLE[kind] = known
    return known


def attributes(value: object) -> tuple[str, ...]:
    """Names of all attributes that an object has, in slots or in its dictionary."""
    kind = type(value)
    slots = _SLOTS.get(kind)
    if slots is None:
        found: list[str] = []
        for base in kind.__mro__:
            named = base.__dict__.get("__slots__", ())
            found += (named,) if isinstance(named, str) else named
        slots = _SLOTS[kind] = tuple(found)
    return (*slots, *getattr(value, "__dict__", ()))


def _is_frozen(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


_MUTABLE: Final[dict[type, bool]] = {}
_SLOTS: Final[dict[type, tuple[str, ...]]] = {}


class Keys:
    """Numbers values by what they are, so that states can be compared as tuples of numbers."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def number(self, value: object) -> int:
        """The number of a hashable value; equal values have equal numbers."""
        return self._numbers.setdefault(value, len(self._numbers))

    def of_engine(self, engine: Engine) -> int:
        """The number of an engine's state."""
        return self.number(self._key(engine, {}))

    def _key(self, value: object, known: dict[int, int]) -> object:
        kind = type(value)
        if kind in SAME:
            return None
        if kind in CONTAINERS:
            return self._key_of_container(value, known)
        if kind is ProposalMessage:
            offer = cast("ProposalMessage", value)
            return self.number((offer.proposal, offer.certificate))
        if not is_mutable(kind):
            return self.number(value) if is_dataclass(kind) else value
        if id(value) in known:
            return known[id(value)]
        known[id(value)] = len(known)
        ignored = WITHOUT_EFFECT.get(kind, frozenset())
        return tuple(
            self._key(getattr(value, name), known)
            for name in attributes(value)
            if name not in ignored
        )

    def _key_of_container(self, value: object, known: dict[int, int]) -> object:
        """In the order of the container, where it has one: rules may go through it."""
        if isinstance(value, dict):
            return tuple((name, self._key(each, known)) for name, each in value.items())
        if isinstance(value, set):
            return frozenset(value)
        return tuple(self._key(each, known) for each in cast("tuple[object, ...]", value))
