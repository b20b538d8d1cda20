"""The only user of the secret key: (record, statement) -> (record', signature), or refusal (P60).

`sign` never returns two different signatures for one slot, whatever happened in between, as long as
the record it starts from is the newest one that left the node. The host makes the new record
durable before the signature leaves.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeAlias, TypeVar

from consensus.errors import SigningRefusedError
from consensus.record import Lock, SafetyRecord, Slot, SlotKind, Step, at_height
from ledger import keys
from ledger.encoding import decode, encode
from ledger.keys import Key, Signed
from ledger.metrics import MetricsReport
from ledger.records import NIL, HaveList, Phase, Proposal, UpdateHeader, Vote
from ledger.slots import slotted

STATEMENTS_KEPT: Final = 16
"""Statements of each kind that are kept decoded; a record has at most two of a kind."""

SlotStatement: TypeAlias = UpdateHeader | HaveList | Proposal | Vote | MetricsReport
SlotStatementT = TypeVar("SlotStatementT", bound=SlotStatement)
RequestT = TypeVar("RequestT", bound=keys.Statement)


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key, the member that holds it, and what it has signed so far."""

    key: Key
    member: int
    chain_id: bytes
    record: SafetyRecord

    def with_record(self, record: SafetyRecord) -> "Signer":
        """Return the signer with a record that changed without a signature."""
        return Signer(key=self.key, member=self.member, chain_id=self.chain_id, record=record)

    def sign(self, statement: SlotStatementT) -> tuple[SafetyRecord, Signed[SlotStatementT]]:
        """Fill the statement's slot, or return what is in it when the bytes are identical.

        Returns:
            The record to make durable before the signature leaves, and the signed statement.

        Raises:
            SigningRefusedError: If the slot holds other bytes or the record is already past it; or
                if the lock forbids the vote.
        """
        kind, view = slot_of(statement)
        position = (statement.height, view)
        encoded = encode(statement)
        stored = self.record.slot(kind)
        if stored is not None and stored.position == position and stored.statement == encoded:
            signed = Signed(statement=statement, signer=self.member, signature=stored.signature)
            return self.record, signed
        self._check_not_back(kind, position)
        if isinstance(statement, Vote):
            self._check_lock(statement)
        fresh = keys.sign(statement, self.key, signer=self.member, chain_id=self.chain_id)
        slot = Slot(
            kind=kind,
            height=statement.height,
            view=view,
            statement=encoded,
            signature=fresh.signature,
        )
        return _after(self.record, slot, statement), fresh

    def raised(self, signed: Signed[SlotStatement]) -> "Signer":
        """Return the signer after its peers showed it a statement of its own that it forgot (P60).

        Its slot is taken; if that is of a later height, view or step, the record goes there, and a
        COMMIT for a block is the lock. An entry proof, if there was one, is lost.
        """
        statement = signed.statement
        kind, view = slot_of(statement)
        slot = Slot(
            kind=kind,
            height=statement.height,
            view=view,
            statement=encode(statement),
            signature=signed.signature,
        )
        record = at_height(self.record, statement.height)
        raised = replace(record, slots=_with_slot(record, slot))
        if record.height == statement.height and kind in _PER_VIEW:
            raised = _at_statement(raised, statement, view)
        return replace(self, record=raised)

    def sign_request(self, statement: RequestT) -> Signed[RequestT]:
        """Sign a request or a status: these are not slots, nothing is promised by them."""
        if isinstance(statement, UpdateHeader | HaveList | Proposal | Vote | MetricsReport):
            kind = type(statement).__name__
            raise SigningRefusedError(f"{kind} is a slot: it is signed by `sign` only (rule P60)")
        return keys.sign(statement, self.key, signer=self.member, chain_id=self.chain_id)

    def stored_update(self) -> Signed[UpdateHeader] | None:
        """Return the newest UPDATE header this node signed."""
        slot = self.record.slot(SlotKind.UPDATE)
        return None if slot is None else self._signed(_update(slot.statement), slot)

    def stored_have(self) -> Signed[HaveList] | None:
        """Return the newest HAVE list this node signed."""
        slot = self.record.slot(SlotKind.HAVE)
        return None if slot is None else self._signed(_have(slot.statement), slot)

    def stored_proposal(self) -> Signed[Proposal] | None:
        """Return the newest proposal this node signed."""
        slot = self.record.slot(SlotKind.PROPOSAL)
        return None if slot is None else self._signed(_proposal(slot.statement), slot)

    def stored_vote(self, phase: Phase) -> Signed[Vote] | None:
        """Return the newest vote of one phase this node signed."""
        slot = self.record.slot(_SLOT_OF_PHASE[phase])
        return None if slot is None else self._signed(_vote(slot.statement), slot)

    def stored_metrics(self) -> Signed[MetricsReport] | None:
        """Return the newest METRICS this node signed."""
        slot = self.record.slot(SlotKind.METRICS)
        return None if slot is None else self._signed(_metrics(slot.statement), slot)

    def _signed(self, statement: SlotStatementT, slot: Slot) -> Signed[SlotStatementT]:
        return Signed(statement=statement, signer=self.member, signature=slot.signature)

    def _check_not_back(self, kind: SlotKind, position: tuple[int, int]) -> None:
        """Refuse what is at or before a statement that this one may not follow (rule P60)."""
        record = self.record
        # A trainer that is ready too late signs its header for the height it trained for (P11), and
        # METRICS are about a model that is decided (P16).
        is_of_past = kind in _MAY_BE_LATE and position[0] < record.height
        if position[0] != record.height and not is_of_past:
            raise SigningRefusedError(
                f"{kind.name} of height {position[0]}: the signer is at height {record.height}"
            )
        if kind in _PER_VIEW and position[1] < record.view:
            raise SigningRefusedError(
                f"{kind.name} of height {position[0]} view {position[1]}: "
                f"the signer is in view {record.view}"
            )
        for earlier in _MUST_BE_BEFORE[kind]:
            slot = record.slot(earlier)
            if slot is not None and slot.position >= position:
                raise SigningRefusedError(
                    f"{kind.name} of height {position[0]} view {position[1]}: {earlier.name} of "
                    f"height {slot.height} view {slot.view} is signed already"
                )

    def _check_lock(self, vote: Vote) -> None:
        """Refuse a PREPARE that the lock forbids (rules P22, P23)."""
        lock = self.record.lock
        if vote.phase is Phase.COMMIT or vote.block_id == NIL or lock is None:
            return
        if lock.block_id != vote.block_id and vote.valid_view < lock.view:
            raise SigningRefusedError(
                f"PREPARE of height {vote.height} view {vote.view} for another block than the one "
                f"locked in view {lock.view}, with valid view {vote.valid_view}"
            )


def slot_of(statement: SlotStatement) -> tuple[SlotKind, int]:
    """Return the slot that a statement fills: its kind, and its view (0 where once per height)."""
    match statement:
        case UpdateHeader():
            return SlotKind.UPDATE, 0
        case HaveList():
            return SlotKind.HAVE, 0
        case Proposal():
            return SlotKind.PROPOSAL, statement.view
        case Vote():
            return _SLOT_OF_PHASE[statement.phase], statement.view
        case MetricsReport():
            return SlotKind.METRICS, 0


_SLOT_OF_PHASE = {Phase.PREPARE: SlotKind.PREPARE, Phase.COMMIT: SlotKind.COMMIT}
_MAY_BE_LATE = frozenset({SlotKind.UPDATE, SlotKind.METRICS})
_PER_VIEW = frozenset({SlotKind.PROPOSAL, SlotKind.PREPARE, SlotKind.COMMIT})
# A statement is refused when one of these kinds is signed at its position or later. A COMMIT may
# follow the PREPARE of its own view; that an earlier view is over is what `record.view` says.
_MUST_BE_BEFORE = {
    SlotKind.UPDATE: (SlotKind.UPDATE,),
    SlotKind.HAVE: (SlotKind.HAVE,),
    SlotKind.PROPOSAL: (SlotKind.PROPOSAL, SlotKind.PREPARE, SlotKind.COMMIT),
    SlotKind.PREPARE: (SlotKind.PREPARE, SlotKind.COMMIT),
    SlotKind.COMMIT: (SlotKind.COMMIT,),
    SlotKind.METRICS: (SlotKind.METRICS,),
}


# The statements in the slots are read again at every height and in every rebroadcast period.


@lru_cache(maxsize=STATEMENTS_KEPT)
def _update(data: bytes) -> UpdateHeader:
    return decode(UpdateHeader, data)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _have(data: bytes) -> HaveList:
    return decode(HaveList, data)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _proposal(data: bytes) -> Proposal:
    return decode(Proposal, data)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _vote(data: bytes) -> Vote:
    return decode(Vote, data)


@lru_cache(maxsize=STATEMENTS_KEPT)
def _metrics(data: bytes) -> MetricsReport:
    return decode(MetricsReport, data)


def _after(record: SafetyRecord, slot: Slot, statement: SlotStatement) -> SafetyRecord:
    """Fill the slot, and move step and lock with a vote: a COMMIT for a block is the lock (P25)."""
    slots = _with_slot(record, slot)
    if not isinstance(statement, Vote):
        return replace(record, slots=slots)
    step, locked = _step_of(statement), _lock_of(statement) or record.locked
    return replace(record, slots=slots, view=statement.view, step=step, locked=locked)


def _at_statement(record: SafetyRecord, statement: SlotStatement, view: int) -> SafetyRecord:
    """Bring a record of the statement's height to its view, step and lock, if these are later."""
    step, locked = Step.PROPOSE, record.locked
    if isinstance(statement, Vote):
        step = _step_of(statement)
        if record.lock is None or record.lock.view < view:
            locked = _lock_of(statement) or locked
    if (view, step) <= (record.view, record.step):
        return replace(record, locked=locked)
    proof = record.entry_proof if view == record.view else ()
    return replace(record, view=view, step=step, locked=locked, entry_proof=proof)


def _with_slot(record: SafetyRecord, slot: Slot) -> tuple[Slot, ...]:
    others = [each for each in record.slots if each.kind is not slot.kind]
    return tuple(sorted([*others, slot], key=attrgetter("kind")))


def _step_of(vote: Vote) -> Step:
    return Step.PREPARE if vote.phase is Phase.PREPARE else Step.COMMIT


def _lock_of(vote: Vote) -> tuple[Lock, ...]:
    """The lock that a vote is: a COMMIT for a block (rule P25)."""
    if vote.phase is Phase.PREPARE or vote.block_id == NIL:
        return ()
    return (Lock(view=vote.view, block_id=vote.block_id),)
