"""Faults of the host: what is durable when, what is said, what is recomputed."""

from contextlib import AbstractContextManager
from dataclasses import replace

from consensus import acts, rebroadcast
from consensus.effects import BuildBlock, CheckBlock, Effect, Publish, Send, Train
from consensus.messages import EntryProofMessage
from consensus.record import SafetyRecord
from tests.simulation.disk import MemoryDisk
from tests.simulation.node import Node
from tests.simulation.patching import attribute_replaced, replaced
from tests.simulation.substance import Names


def publish_first() -> AbstractContextManager[None]:
    """The host sends before the record is durable (against rule P60)."""

    def order(_: Node, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        sent = tuple(each for each in effects if isinstance(each, Publish | Send))
        return sent + tuple(each for each in effects if each not in sent)

    return attribute_replaced(Node, "order", order)


def lost_record() -> AbstractContextManager[None]:
    """The record is never written (against rule P60)."""
    return attribute_replaced(MemoryDisk, "save_record", lambda *_: None)


def forgotten_lock() -> AbstractContextManager[None]:
    """A restart loses the lock and the certificate behind it (against rule P60)."""
    load = MemoryDisk.load_record

    def load_record(disk: MemoryDisk) -> SafetyRecord:
        return replace(load(disk), locked=(), valid=())

    return attribute_replaced(MemoryDisk, "load_record", load_record)


def forgotten_proof() -> AbstractContextManager[None]:
    """A restart loses what led to the view (against rules P35, P60)."""
    load = MemoryDisk.load_record

    def load_record(disk: MemoryDisk) -> SafetyRecord:
        return replace(load(disk), entry_proof=())

    return attribute_replaced(MemoryDisk, "load_record", load_record)


def unsaved_block() -> AbstractContextManager[None]:
    """A block is not made durable before the vote for it (against rule P60)."""
    return replaced(acts.save_block, lambda *_: None)


def bodies_later() -> AbstractContextManager[None]:
    """A block is checked before the bodies that it needs are here (against rules P13, P60)."""
    original = Node.work

    def work(member: Node, effect: Train | BuildBlock | CheckBlock) -> None:
        if isinstance(effect, CheckBlock):
            member.check(effect.block)
        else:
            original(member, effect)

    return attribute_replaced(Node, "work", work)


def no_entry_proof() -> AbstractContextManager[None]:
    """What led to a view is not said again (against rule P35)."""

    def order(_: Node, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        return tuple(
            each
            for each in effects
            if not (isinstance(each, Publish) and isinstance(each.message, EntryProofMessage))
        )

    return attribute_replaced(Node, "order", order)


def no_rebroadcast() -> AbstractContextManager[None]:
    """Nothing is said twice (against rule P35)."""
    return replaced(rebroadcast.republish_height, lambda *_: None)


def believed_results() -> AbstractContextManager[None]:
    """Voters do not recompute what a block claims (against rule P13)."""
    return attribute_replaced(Names, "recomputes", lambda *_: True)
