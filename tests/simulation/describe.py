"""One line about one packet, for `--trace`."""

from consensus.messages import (
    BlocksMessage,
    BlocksRequestMessage,
    CertificateMessage,
    EntryProofMessage,
    EvidenceMessage,
    HaveMessage,
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
from ledger.evidence import evidence_key
from ledger.records import Vote
from tests.simulation.packets import BodyPull, BodyPush, Packet


def describe(packet: Packet) -> str:
    """Name what a packet says, digests shortened to 8 hex digits."""
    match packet:
        case VoteMessage():
            text = f"{vote_text(packet.vote.statement)} by {packet.vote.signer} {packet.reason}"
        case CertificateMessage():
            certificate = packet.certificate
            text = f"CERTIFICATE {vote_text(certificate.vote)} of {certificate.positions}"
        case EntryProofMessage():
            votes = [f"{each.signer}:{vote_text(each.statement)}" for each in packet.votes]
            text = f"ENTRY h{packet.height} v{packet.view} {votes}"
        case HaveMessage() | UpdateMessage() | ProposalMessage():
            text = _offer_text(packet)
        case OperationMessage():
            kind = type(packet.operation).__name__.upper()
            text = f"{kind} approved by {packet.approval.signer}"
        case ReadyMessage():
            text = f"READY h{packet.ready.statement.height} by {packet.ready.signer}"
        case EvidenceMessage():
            text = f"EVIDENCE {evidence_key(packet.evidence)}"
        case MetricsMessage():
            report = packet.metrics.statement
            gain = report.value - report.best_value
            text = f"METRICS h{report.height} {gain:+d} by {packet.metrics.signer}"
        case BodyPush() | BodyPull():
            text = f"{type(packet).__name__} {short(packet.body_id)}"
        case _:
            text = _sync_text(packet)
    return text


def _offer_text(message: HaveMessage | UpdateMessage | ProposalMessage) -> str:
    match message:
        case HaveMessage():
            have = message.have.statement
            trainers = [entry.trainer for entry in have.entries]
            return f"HAVE h{have.height} {trainers} by {message.have.signer}"
        case UpdateMessage():
            header = message.update.statement
            return f"UPDATE h{header.height} {short(header.update_id)} by {header.trainer}"
        case ProposalMessage():
            said = message.proposal.statement
            return (
                f"PROPOSAL h{said.height} v{said.view} vv{said.valid_view} {short(said.block_id)}"
            )


def _sync_text(
    message: StatusMessage
    | BlocksRequestMessage
    | BlocksMessage
    | ProposalRequestMessage
    | StatementsRequestMessage
    | StatementsMessage,
) -> str:
    match message:
        case StatusMessage():
            return f"STATUS h{message.status.statement.height} by {message.status.signer}"
        case BlocksRequestMessage():
            return f"ASK BLOCKS from h{message.request.statement.from_height}"
        case BlocksMessage():
            return f"BLOCKS {[block.header.height for block in message.blocks]}"
        case ProposalRequestMessage():
            return f"ASK PROPOSAL {short(message.request.statement.block_id)}"
        case StatementsRequestMessage():
            return f"ASK STATEMENTS by {message.request.signer}"
        case StatementsMessage():
            return f"STATEMENTS of {message.answer.statement.asker} by {message.answer.signer}"


def vote_text(vote: Vote) -> str:
    """Name what a vote says."""
    target = short(vote.block_id) if vote.block_id else "nil"
    return f"{vote.phase.name} h{vote.height} v{vote.view} vv{vote.valid_view} {target}"


def short(digest: bytes) -> str:
    """First 8 hex digits."""
    return digest.hex()[:8]
