"""Faults of voting: locks, certificates, views and what a vote may follow."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from consensus import height as height_module
from consensus import rules, signer
from consensus.height import Height
from consensus.record import SafetyRecord, Slot
from consensus.rules import Action, Facts
from consensus.signer import Signer, SlotStatement
from consensus.votes import Addition, Tally
from ledger import certificates, keys
from ledger.keys import Signed, Statement
from ledger.powers import Validator, ValidatorSet
from ledger.records import FRESH, NIL, Phase, Vote
from tests.simulation.patching import attribute_replaced, replaced


@contextmanager
def _unlocked(is_ignored: Callable[[SafetyRecord, Facts], bool]) -> Iterator[None]:
    """Locks do not count where `is_ignored`; the signer's own check is off."""
    original = rules.next_action

    def unlocked(record: SafetyRecord, facts: Facts) -> Action | None:
        if is_ignored(record, facts):
            return original(replace(record, locked=()), facts)
        return original(record, facts)

    def unchecked(_: Signer, vote: Vote) -> None:
        del vote

    with (
        replaced(rules.next_action, unlocked),
        attribute_replaced(Signer, "_check_lock", unchecked),
    ):
        yield


def no_lock() -> AbstractContextManager[None]:
    """Nodes forget what they locked (against rules P22, P23)."""
    return _unlocked(lambda *_: True)


def no_lock_fresh() -> AbstractContextManager[None]:
    """A lock does not stand against a fresh proposal (against rule P22)."""
    return _unlocked(lambda record, facts: _valid_view(record, facts) == FRESH)


def no_lock_again() -> AbstractContextManager[None]:
    """A lock does not stand against a block proposed again (against rule P23)."""
    return _unlocked(lambda record, facts: _valid_view(record, facts) != FRESH)


def _valid_view(record: SafetyRecord, facts: Facts) -> int | None:
    received = facts.proposals.of_view.get(record.view)
    return None if received is None else received.proposal.statement.valid_view


def nil_unlocks() -> AbstractContextManager[None]:
    """A COMMIT for nil ends the lock (against rule P26)."""
    original = signer._after

    def after(record: SafetyRecord, slot: Slot, statement: SlotStatement) -> SafetyRecord:
        later = original(record, slot, statement)
        is_commit = isinstance(statement, Vote) and statement.phase is Phase.COMMIT
        if is_commit and isinstance(statement, Vote) and statement.block_id == NIL:
            return replace(later, locked=())
        return later

    return replaced(original, after)


def no_certificate() -> AbstractContextManager[None]:
    """A re-proposal needs no PREPARE certificate (against rule P23)."""
    return attribute_replaced(Height, "_is_prepared", lambda *_: True)


def certificate_believed() -> AbstractContextManager[None]:
    """A certificate that a peer sends is not checked (against rule P28)."""
    return attribute_replaced(height_module, "check_certificate", lambda *_, **__: None)


def certificate_without_power() -> AbstractContextManager[None]:
    """A certificate needs no quorum, in any check (against rule P28)."""
    return replaced(certificates._check_power, lambda *_: None)


def repeated_vote() -> AbstractContextManager[None]:
    """A vote that comes twice counts twice (against rule P24)."""
    original = Tally.add

    def add(tally: Tally, vote: Signed[Vote], *, view: int) -> Addition:
        addition = original(tally, vote, view=view)
        if addition.is_new or addition.contradicted is not None:
            return addition
        ballot = tally._ballots.get((vote.statement.phase, vote.statement.view))
        if ballot is not None and vote.signer in ballot.votes:
            del ballot.votes[vote.signer]
            return original(tally, vote, view=view)
        return addition

    return attribute_replaced(Tally, "add", add)


def counted_heads() -> AbstractContextManager[None]:
    """Votes are counted by heads, not by power (against rule P41)."""
    original = Tally.__init__

    def begin(tally: Tally, validators: ValidatorSet) -> None:
        equal = tuple(Validator(member=each, power=1) for each in validators.members)
        original(tally, ValidatorSet(validators=equal))

    return attribute_replaced(Tally, "__init__", begin)


def view_jump() -> AbstractContextManager[None]:
    """One member's vote is enough to follow it to its view (against rule P29)."""

    def skip_view(tally: Tally, view: int) -> int | None:
        return tally._highest if tally._highest > view else None

    return attribute_replaced(Tally, "skip_view", skip_view)


def unsigned_valid_view() -> AbstractContextManager[None]:
    """A vote's valid view is not among its signed bytes (against rule P3)."""
    original = keys.signing_bytes

    def signing_bytes(statement: Statement, chain_id: bytes) -> bytes:
        if isinstance(statement, Vote):
            return original(replace(statement, valid_view=FRESH), chain_id)
        return original(statement, chain_id)

    return replaced(original, signing_bytes)
