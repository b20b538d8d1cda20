"""The signer's record: what this node has signed, and where it stands in its height (rule P60).

The record is one immutable value. It is durable before a signature leaves the node, so whatever it
does not contain, nobody has seen. The functions below are the only ways in which it changes without
a signature; `consensus.signer` adds the signatures.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated

from ledger.encoding import U32, U64, Digest, Items, Octets, Signature
from ledger.kinds import MEMBERS_MAX
from ledger.records import QuorumCertificate, SignedVote
from ledger.slots import slotted

STATEMENT_BYTES_MAX = 64 * 1024
"""Largest encoded statement in a slot: a HAVE list of `MEMBERS_MAX` entries fits three times."""
PROOF_VOTES_MAX = 2 * MEMBERS_MAX


class SlotKind(IntEnum):
    """What a slot signs: UPDATE, HAVE and METRICS once per height, the others once per view."""

    UPDATE = 1
    HAVE = 2
    PROPOSAL = 3
    PREPARE = 4
    COMMIT = 5
    METRICS = 6


class Step(IntEnum):
    """How far the node got in its view: nothing voted yet, PREPARE signed, COMMIT signed."""

    PROPOSE = 0
    PREPARE = 1
    COMMIT = 2


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The newest statement of one kind, as canonical bytes, with its signature."""

    kind: SlotKind
    height: U64
    view: U32
    statement: Annotated[bytes, Octets(1, STATEMENT_BYTES_MAX)]
    signature: Signature

    @property
    def position(self) -> tuple[int, int]:
        """Height and view, in the order in which they may grow."""
        return self.height, self.view


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The block this node last signed COMMIT for in this height, and the view of that COMMIT."""

    view: U32
    block_id: Digest


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyRecord:
    """Everything a node must not forget within a height.

    `slots` holds at most one slot per kind, ascending by kind: the newest, of this height or an
    earlier one. `locked`, `valid` (the highest PREPARE certificate seen) and `entry_proof` (the
    votes that justify being in `view`) belong to `height`.
    """

    height: U64
    view: U32
    step: Step
    slots: Annotated[tuple[Slot, ...], Items(len(SlotKind))]
    locked: Annotated[tuple[Lock, ...], Items(1)]
    valid: Annotated[tuple[QuorumCertificate, ...], Items(1)]
    entry_proof: Annotated[tuple[SignedVote, ...], Items(PROOF_VOTES_MAX)]

    @property
    def lock(self) -> Lock | None:
        """The lock, if there is one."""
        return self.locked[0] if self.locked else None

    @property
    def certificate(self) -> QuorumCertificate | None:
        """The highest PREPARE certificate seen in this height, if any."""
        return self.valid[0] if self.valid else None

    def slot(self, kind: SlotKind) -> Slot | None:
        """Return the newest slot of one kind."""
        for slot in self.slots:
            if slot.kind is kind:
                return slot
        return None


INITIAL_RECORD = SafetyRecord(
    height=0, view=0, step=Step.PROPOSE, slots=(), locked=(), valid=(), entry_proof=()
)
"""The record of a node that never signed anything."""


def at_height(record: SafetyRecord, height: int) -> SafetyRecord:
    """Return the record at the start of a later height: the lock of the decided one is over.

    Only for a height whose parent this node has committed. A record that is at `height` already,
    or beyond it, comes back as it is.
    """
    if height <= record.height:
        return record
    return replace(
        record, height=height, view=0, step=Step.PROPOSE, locked=(), valid=(), entry_proof=()
    )


def in_view(record: SafetyRecord, view: int, proof: tuple[SignedVote, ...]) -> SafetyRecord:
    """Return the record after entering a later view with the votes that led there (rule P35)."""
    assert view > record.view, "views only grow"
    return replace(record, view=view, step=Step.PROPOSE, entry_proof=proof[:PROOF_VOTES_MAX])


def with_proof(record: SafetyRecord, proof: tuple[SignedVote, ...]) -> SafetyRecord:
    """Return the record with a better entry proof of the view it is in (rule P35)."""
    return replace(record, entry_proof=proof[:PROOF_VOTES_MAX])


def with_valid(record: SafetyRecord, certificate: QuorumCertificate) -> SafetyRecord:
    """Return the record with a higher PREPARE certificate as `valid` (rule P33)."""
    known = record.certificate
    assert certificate.height == record.height, "a certificate of the height"
    if known is not None and known.view >= certificate.view:
        return record
    return replace(record, valid=(certificate,))


DECODABLE: tuple[object, ...] = (SafetyRecord,)
