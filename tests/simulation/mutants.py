"""Faults planted on purpose: the simulator counts only because it finds them.

Each mutant is a context manager that patches the running program and undoes it afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Final

from consensus import rules
from consensus.effects import Effect, Publish, Send
from consensus.record import SafetyRecord
from consensus.rules import Action, Facts
from consensus.signer import Signer
from ledger import powers
from ledger.records import Vote
from tests.simulation.node import Node
from tests.simulation.patching import attribute_replaced, replaced


def quorum_half() -> AbstractContextManager[None]:
    """A quorum is more than half of the power (against rule P40's two thirds)."""
    return replaced(powers.is_quorum, lambda power, total: 2 * power > total)


def publish_first() -> AbstractContextManager[None]:
    """The host sends before the record is durable (against rule P60)."""

    def order(_: Node, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        sent = tuple(each for each in effects if isinstance(each, Publish | Send))
        return sent + tuple(each for each in effects if each not in sent)

    return attribute_replaced(Node, "order", order)


@contextmanager
def no_lock() -> Iterator[None]:
    """Nodes forget what they locked (against rules P22, P23), the signer's own check included."""

    original = rules.next_action

    def unlocked(record: SafetyRecord, facts: Facts) -> Action | None:
        return original(replace(record, locked=()), facts)

    def unchecked(_: Signer, vote: Vote) -> None:
        del vote

    with (
        replaced(rules.next_action, unlocked),
        attribute_replaced(Signer, "_check_lock", unchecked),
    ):
        yield


MUTANTS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "no_lock": no_lock,
    "publish_first": publish_first,
    "quorum_half": quorum_half,
}
