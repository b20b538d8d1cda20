"""What members tell each other to agree on a block (rule P2, section 2).

Signed statements travel as `Signed[...]`; blocks and certificates are checked by what they contain.
`Message` is the closed union of everything that consensus sends or answers.
"""

from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, ClassVar, TypeAlias

from ledger.encoding import U16, U32, U64, Characters, Digest, Items, domain_tag, encode
from ledger.keys import Signed
from ledger.kinds import MEMBERS_MAX
from ledger.metrics import MetricsReport
from ledger.operations import Approval, Operation, Ready
from ledger.records import (
    Block,
    Evidence,
    HaveList,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    Vote,
)
from ledger.slots import slotted

SYNC_BLOCKS_MAX = 64


class MessageKind(IntEnum):
    """First item of each message."""

    UPDATE = 32
    HAVE = 33
    PROPOSAL = 34
    VOTE = 35
    CERTIFICATE = 36
    ENTRY_PROOF = 37
    STATUS = 38
    BLOCKS_REQUEST = 39
    BLOCKS = 40
    PROPOSAL_REQUEST = 41
    EVIDENCE = 42
    STATEMENTS_REQUEST = 43
    STATEMENTS = 44
    METRICS = 45
    OPERATION = 46
    READY = 47


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMessage:
    """A trainer's signed header; the body travels by itself (rule P10)."""

    KIND: ClassVar[MessageKind] = MessageKind.UPDATE

    update: Signed[UpdateHeader]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class HaveMessage:
    """A validator's HAVE list."""

    KIND: ClassVar[MessageKind] = MessageKind.HAVE

    have: Signed[HaveList]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalMessage:
    """A proposal with its block, and the PREPARE certificate when it is a re-proposal."""

    KIND: ClassVar[MessageKind] = MessageKind.PROPOSAL

    proposal: Signed[Proposal]
    block: Block
    certificate: Annotated[tuple[QuorumCertificate, ...], Items(1)]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class VoteMessage:
    """A vote; `reason` says, unsigned and for people only, why it is nil."""

    KIND: ClassVar[MessageKind] = MessageKind.VOTE

    vote: Signed[Vote]
    reason: Annotated[str, Characters(200)]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateMessage:
    """A certificate: published when locking and deciding, and to who votes on a decided height."""

    KIND: ClassVar[MessageKind] = MessageKind.CERTIFICATE

    certificate: QuorumCertificate


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProofMessage:
    """Why its sender is in `view`: votes of the previous view, or that led there (rule P35)."""

    KIND: ClassVar[MessageKind] = MessageKind.ENTRY_PROOF

    height: U64
    view: U32
    votes: Annotated[tuple[Signed[Vote], ...], Items(2 * MEMBERS_MAX)]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A hint of where a member stands: height of its last block, that block's id, a counter."""

    TAG: ClassVar[str] = "status/1"

    height: U64
    block_id: Digest
    sequence: U64


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMessage:
    """A signed status; retained by the broker, never protocol state."""

    KIND: ClassVar[MessageKind] = MessageKind.STATUS

    status: Signed[Status]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksRequest:
    """Ask one member for decided blocks from a height on (rule P80); answered once a counter."""

    TAG: ClassVar[str] = "ask/1"

    responder: U16
    from_height: U64
    counter: U64


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksRequestMessage:
    """A signed request for blocks."""

    KIND: ClassVar[MessageKind] = MessageKind.BLOCKS_REQUEST

    request: Signed[BlocksRequest]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksMessage:
    """Consecutive decided blocks and the certificate of the last one (rule P80)."""

    KIND: ClassVar[MessageKind] = MessageKind.BLOCKS

    blocks: Annotated[tuple[Block, ...], Items(SYNC_BLOCKS_MAX)]
    certificate: QuorumCertificate


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRequest:
    """Ask one member for the proposal and block that it voted for (rule P33)."""

    TAG: ClassVar[str] = "askp/1"

    responder: U16
    height: U64
    block_id: Digest
    counter: U64


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRequestMessage:
    """A signed request for a block that a certificate names; the answer is a ProposalMessage."""

    KIND: ClassVar[MessageKind] = MessageKind.PROPOSAL_REQUEST

    request: Signed[ProposalRequest]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceMessage:
    """Two statements with which a member accuses itself, for the next block (rule P45)."""

    KIND: ClassVar[MessageKind] = MessageKind.EVIDENCE

    evidence: Evidence


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsRequest:
    """Ask everybody for the own newest statements, before anything is signed (rule P60)."""

    TAG: ClassVar[str] = "asks/1"

    height: U64
    counter: U64


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsRequestMessage:
    """A signed request for the own newest statements; answered once a counter."""

    KIND: ClassVar[MessageKind] = MessageKind.STATEMENTS_REQUEST

    request: Signed[StatementsRequest]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The newest of each kind that one member signed, and the highest PREPARE certificate."""

    updates: Annotated[tuple[Signed[UpdateHeader], ...], Items(1)]
    haves: Annotated[tuple[Signed[HaveList], ...], Items(1)]
    proposals: Annotated[tuple[Signed[Proposal], ...], Items(1)]
    votes: Annotated[tuple[Signed[Vote], ...], Items(2)]
    metrics: Annotated[tuple[Signed[MetricsReport], ...], Items(1)]
    certificates: Annotated[tuple[QuorumCertificate, ...], Items(1)]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsAnswer:
    """What its signer saw of `asker`; `height` is the one that its signer is at (rule P60)."""

    TAG: ClassVar[str] = "shown/1"

    asker: U16
    counter: U64
    height: U64
    statements_hash: Digest


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsMessage:
    """The answer to a `StatementsRequest`, with what it is about."""

    KIND: ClassVar[MessageKind] = MessageKind.STATEMENTS

    answer: Signed[StatementsAnswer]
    statements: Statements


def statements_hash(statements: Statements) -> bytes:
    """Return the 32-byte hash by which an answer names its statements."""
    return sha256(domain_tag("said/1") + encode(statements)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsMessage:
    """What a member says about a model, for one of the next blocks (rule P16)."""

    KIND: ClassVar[MessageKind] = MessageKind.METRICS

    metrics: Signed[MetricsReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationMessage:
    """An operation and one member's approval of it; messages of one operation merge (rule P81)."""

    KIND: ClassVar[MessageKind] = MessageKind.OPERATION

    operation: Operation
    approval: Signed[Approval]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyMessage:
    """A pending member's statement that it has the ledger and may be admitted (rule P81)."""

    KIND: ClassVar[MessageKind] = MessageKind.READY

    ready: Signed[Ready]


Message: TypeAlias = (
    UpdateMessage
    | HaveMessage
    | ProposalMessage
    | VoteMessage
    | CertificateMessage
    | EntryProofMessage
    | StatusMessage
    | BlocksRequestMessage
    | BlocksMessage
    | ProposalRequestMessage
    | EvidenceMessage
    | StatementsRequestMessage
    | StatementsMessage
    | MetricsMessage
    | OperationMessage
    | ReadyMessage
)
