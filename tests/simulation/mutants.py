"""Faults planted on purpose: the simulator counts only because it finds them.

Each mutant is a context manager that patches the running program and undoes it afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Final

from consensus import rebroadcast, rules
from consensus.accusations import Accusations
from consensus.effects import Effect, Publish, Send
from consensus.height import Height
from consensus.messages import EntryProofMessage
from consensus.metrics_pool import MetricsPool
from consensus.record import SafetyRecord
from consensus.rules import Action, Facts
from consensus.signer import Signer
from ledger import powers
from ledger.records import Vote
from tests.simulation import node
from tests.simulation.disk import MemoryDisk
from tests.simulation.node import Node
from tests.simulation.patching import attribute_replaced, replaced


def quorum_half() -> AbstractContextManager[None]:
    """A quorum is more than half of the power, not more than two thirds."""
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


def no_certificate() -> AbstractContextManager[None]:
    """A re-proposal needs no PREPARE certificate (against rule P23)."""
    return attribute_replaced(Height, "_is_prepared", lambda *_: True)


def no_rebroadcast() -> AbstractContextManager[None]:
    """Nothing is said twice (against rule P35)."""
    return replaced(rebroadcast.republish_height, lambda *_: None)


def no_entry_proof() -> AbstractContextManager[None]:
    """What led to a view is not said again (against rule P35)."""

    def order(_: Node, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        return tuple(
            each
            for each in effects
            if not (isinstance(each, Publish) and isinstance(each.message, EntryProofMessage))
        )

    return attribute_replaced(Node, "order", order)


def forgotten_lock() -> AbstractContextManager[None]:
    """A restart loses the lock and the certificate behind it (against rule P60)."""
    load = MemoryDisk.load_record

    def load_record(disk: MemoryDisk) -> SafetyRecord:
        return replace(load(disk), locked=(), valid=())

    return attribute_replaced(MemoryDisk, "load_record", load_record)


def lost_record() -> AbstractContextManager[None]:
    """The record is never written (against rule P60)."""
    return attribute_replaced(MemoryDisk, "save_record", lambda *_: None)


def believed_results() -> AbstractContextManager[None]:
    """Voters do not recompute what a block claims (against rule P13)."""
    return attribute_replaced(node, "recomputes", lambda *_: True)


def no_evidence() -> AbstractContextManager[None]:
    """Proposers leave evidence out of their blocks (against rule P45)."""
    return attribute_replaced(Accusations, "proposable", lambda *_: ())


def no_metrics() -> AbstractContextManager[None]:
    """Proposers leave METRICS out of their blocks (against rule P16)."""
    return attribute_replaced(MetricsPool, "proposable", lambda *_: ())


MUTANTS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "believed_results": believed_results,
    "forgotten_lock": forgotten_lock,
    "lost_record": lost_record,
    "no_certificate": no_certificate,
    "no_entry_proof": no_entry_proof,
    "no_evidence": no_evidence,
    "no_lock": no_lock,
    "no_metrics": no_metrics,
    "no_rebroadcast": no_rebroadcast,
    "publish_first": publish_first,
    "quorum_half": quorum_half,
}
