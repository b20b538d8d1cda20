"""Effects and messages as short lines, for tests to compare."""

from collections.abc import Mapping

from consensus.effects import (
    AnswerBlocks,
    AnswerCertificate,
    BuildBlock,
    CheckBlock,
    CommitBlock,
    Effect,
    Halt,
    Notice,
    Persist,
    Publish,
    ReportContradiction,
    SaveProposal,
    Send,
    Train,
)
from consensus.judging import Evaluate
from consensus.messages import (
    BlocksRequestMessage,
    CertificateMessage,
    EntryProofMessage,
    EvidenceMessage,
    HaveMessage,
    Message,
    MetricsMessage,
    OperationMessage,
    ProposalMessage,
    ProposalRequestMessage,
    ReadyMessage,
    StatementsMessage,
    StatementsRequestMessage,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.records import (
    FRESH,
    block_id,
)


def shown(effect: Effect, names: Mapping[bytes, str]) -> str:
    """One line for what others or the disk notice; nothing for timers and progress."""
    match effect:
        case Publish():
            return shown_message(effect.message, names)
        case Send():
            return f"to {effect.member}: {shown_message(effect.message, names)}"
        case SaveProposal() | CheckBlock() | CommitBlock():
            verb = {SaveProposal: "save", CheckBlock: "check", CommitBlock: "commit"}
            return f"{verb[type(effect)]} {name_of(block_id(effect.block.header), names)}"
        case Notice():
            return "error" if effect.is_error else "notice"
        case _:
            return _shown_other(effect)


def shown_message(message: Message, names: Mapping[bytes, str]) -> str:
    match message:
        case VoteMessage():
            vote = message.vote.statement
            valid = "" if vote.valid_view == FRESH else f" valid {vote.valid_view}"
            return f"{vote.phase.name} {vote.view} {name_of(vote.block_id, names)}{valid}"
        case ProposalMessage():
            proposal = message.proposal.statement
            return f"PROPOSAL {proposal.view} {name_of(proposal.block_id, names)}"
        case CertificateMessage():
            certificate = message.certificate
            name = name_of(certificate.block_id, names)
            return f"certificate {certificate.phase.name} {certificate.view} {name}"
        case EntryProofMessage():
            return f"entry proof {message.view} of {len(message.votes)}"
        case _:
            return _shown_other_message(message)


def name_of(block: bytes, names: Mapping[bytes, str]) -> str:
    """The name that a test gave to a block, or the beginning of its id."""
    return names.get(block, block.hex()[:8])


def _shown_other(effect: Effect) -> str:
    lines = {
        Persist: "persist",
        BuildBlock: "build {0.kind.name} {0.view}",
        Train: "train {0.training_round}",
        Evaluate: "evaluate {0.height}",
        AnswerBlocks: "answer blocks to {0.member} from {0.from_height}",
        AnswerCertificate: "answer certificate to {0.member} of {0.height}",
        ReportContradiction: "contradiction {0.member}",
        Halt: "halt",
    }
    return lines.get(type(effect), "").format(effect)


def _shown_other_message(message: Message) -> str:
    lines = {
        UpdateMessage: "UPDATE {0.update.statement.height}",
        StatusMessage: "STATUS {0.status.statement.height}",
        BlocksRequestMessage: (
            "ask {0.request.statement.responder} for blocks from {0.request.statement.from_height}"
        ),
        EvidenceMessage: "EVIDENCE {0.evidence.first.signer}",
        ReadyMessage: "READY {0.ready.statement.height}",
        OperationMessage: "OPERATION of {0.approval.signer}",
        MetricsMessage: "METRICS {0.metrics.statement.height}",
        ProposalRequestMessage: "ask {0.request.statement.responder} for a block",
        StatementsRequestMessage: "ask all for own statements",
        StatementsMessage: "show {0.answer.statement.asker} its statements",
    }
    if isinstance(message, HaveMessage):
        return f"HAVE {len(message.have.statement.entries)}"
    return lines[type(message)].format(message)
