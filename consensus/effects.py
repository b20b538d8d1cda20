"""The closed unions `Input` and `Effect`: all that can happen, all that can be wanted.

`Engine.step(input, now_ms=...)` returns effects, which the host carries out *strictly in order*; a
`Persist` or `SaveProposal` therefore always precedes the `Publish` that it protects (rule P60).
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from consensus import messages as msg
from consensus.change_inputs import ChangeInput, KeepOperations
from consensus.judging import Evaluate, Evaluated, MetricsReceived
from consensus.line_inputs import Reconnected
from consensus.record import SafetyRecord
from ledger import records as rec
from ledger.keys import Signed, Verified
from ledger.metrics import MetricsReport
from ledger.operations import Agreed, Ready
from ledger.slots import slotted
from ledger.state import State


class TimerKind(Enum):
    """What a timer is for; each wait is bounded and named (rule P93)."""

    COLLECT = "collect"
    HAVE_GRACE = "have_grace"
    PROPOSE = "propose"
    PREPARE = "prepare"
    COMMIT = "commit"
    REBROADCAST = "rebroadcast"
    FETCH = "fetch"
    ASK = "ask"


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Names one wait; a timer of a past height or view is ignored when it fires."""

    kind: TimerKind
    height: int
    view: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The node is up; the engine resumes where its record stands."""


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReceived:
    """A trainer's header arrived; its body may not have."""

    update: Verified[rec.UpdateHeader]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHeld:
    """The whole body of an update is durable here and passes the static checks of rule P10."""

    update: Verified[rec.UpdateHeader]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTrained:
    """The own trainer finished; the body is durable under `update_id`."""

    height: int
    training_round: int
    base_model_id: bytes
    update_id: bytes
    n_elements: int


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class HaveReceived:
    """A HAVE list arrived."""

    have: Verified[rec.HaveList]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalReceived:
    """A proposal arrived with its block, and with a PREPARE certificate if it is a re-proposal."""

    proposal: Verified[rec.Proposal]
    block: rec.Block
    certificate: rec.QuorumCertificate | None


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class VoteReceived:
    """A vote arrived."""

    vote: Verified[rec.Vote]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReceived:
    """A certificate arrived; the engine checks it as a whole against its height's validators."""

    certificate: rec.QuorumCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProofReceived:
    """Votes that justify being in a view arrived."""

    height: int
    view: int
    votes: tuple[Verified[rec.Vote], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReceived:
    """A member says where it stands."""

    status: Verified[msg.Status]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksRequested:
    """A member asks this one for decided blocks."""

    request: Verified[msg.BlocksRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksReceived:
    """Decided blocks arrived in answer to a request; `certificate` is the last one's."""

    blocks: tuple[rec.Block, ...]
    certificate: rec.QuorumCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRequested:
    """A member asks this one for a proposed block."""

    request: Verified[msg.ProposalRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReceived:
    """Two statements of one member that contradict each other arrived, signatures checked."""

    evidence: rec.Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsRequested:
    """A member asks what it signed before it signs anything (rule P60)."""

    request: Verified[msg.StatementsRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsShown:
    """A member says what it saw of another one; the signatures of the statements are checked."""

    answer: Verified[msg.StatementsAnswer]
    statements: msg.Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBuilt:
    """The block asked for by `BuildBlock` is ready, its bodies and model durable."""

    height: int
    view: int
    block: rec.Block


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChecked:
    """A block was recomputed; if valid, every body it needs and its model are durable here."""

    height: int
    block_id: bytes
    is_valid: bool
    reason: str


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer set by `SetTimer` ran out."""

    timer: Timer


Input: TypeAlias = (
    Started
    | UpdateReceived
    | UpdateHeld
    | UpdateTrained
    | HaveReceived
    | ProposalReceived
    | VoteReceived
    | CertificateReceived
    | EntryProofReceived
    | StatusReceived
    | BlocksRequested
    | BlocksReceived
    | ProposalRequested
    | EvidenceReceived
    | StatementsRequested
    | StatementsShown
    | MetricsReceived
    | Evaluated
    | Reconnected
    | ChangeInput
    | BlockBuilt
    | BlockChecked
    | TimerFired
)


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Persist:
    """Make the signer's record durable before any later effect."""

    record: SafetyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveProposal:
    """Make a proposed block and the signed proposal it came by durable before any later effect."""

    proposal: Signed[rec.Proposal]
    block: rec.Block


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class SaveEvidence:
    """Make evidence against a member durable, until a block carries it (rule P45)."""

    member: int
    evidence: rec.Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Send a message to all members."""

    message: msg.Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send a message to one member."""

    member: int
    message: msg.Message


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBlocks:
    """Send a member up to 64 decided blocks from a height on, with the last one's certificate."""

    member: int
    from_height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCertificate:
    """Send a member the certificate of a decided height below the current one (rule P35)."""

    member: int
    height: int


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Fire `timer` after `delay_ms`; setting the same timer again starts it anew."""

    timer: Timer
    delay_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Train on the current model; answer with `UpdateTrained`."""

    height: int
    training_round: int
    base_model_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildBlock:
    """Aggregate what `haves` include and build the block; answer with `BlockBuilt` (rule P13).

    `kind` EMPTY needs no bodies. `time_ms` is already chosen (rule P14).
    """

    height: int
    view: int
    kind: rec.BlockKind
    time_ms: int
    haves: tuple[Signed[rec.HaveList], ...]
    updates: tuple[Signed[rec.UpdateHeader], ...]
    last_certificate: rec.QuorumCertificate | None
    evidence: tuple[rec.Evidence, ...] = ()
    metrics: tuple[Signed[MetricsReport], ...] = ()
    operations: tuple[Agreed, ...] = ()
    readies: tuple[Signed[Ready], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckBlock:
    """Pull missing bodies, recompute the results, compare; answer with `BlockChecked` (rule P13).

    The engine has already found the block valid by `ledger.validity.check_block`.
    """

    block: rec.Block


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitBlock:
    """Append block, certificate and the state after it in one transaction (rule P53)."""

    block: rec.Block
    certificate: rec.QuorumCertificate
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContradiction:
    """Two different signed statements of one member: keep and show them (rules P34, P45)."""

    member: int
    first: msg.Message
    second: msg.Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should see: one sentence, with height, view and member."""

    is_error: bool
    text: str


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The engine entered a phase of a view; for display and event logs only."""

    height: int
    view: int
    phase: str
    proposer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Stop the process with this message; going on would be unsafe (rules P28, P60).

    When it `is_lasting`, every start stops with it until a person has mended the cause.
    """

    reason: str
    is_lasting: bool = False


Stored: TypeAlias = Persist | SaveProposal | SaveEvidence | KeepOperations | CommitBlock

Effect: TypeAlias = (
    Persist
    | SaveProposal
    | SaveEvidence
    | KeepOperations
    | Publish
    | Send
    | AnswerBlocks
    | AnswerCertificate
    | SetTimer
    | Train
    | Evaluate
    | BuildBlock
    | CheckBlock
    | CommitBlock
    | ReportContradiction
    | Notice
    | Progress
    | Halt
)
