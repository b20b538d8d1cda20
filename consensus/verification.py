"""The gate: messages become inputs when a member signed them (rule P3).

Membership is checked before the signature, the signature before anything is kept. Certificates, and
the statements inside blocks, are checked by the engine, which knows the sets they belong to.
"""

from consensus.effects import (
    BlocksReceived,
    BlocksRequested,
    CertificateReceived,
    EntryProofReceived,
    EvidenceReceived,
    HaveReceived,
    Input,
    ProposalReceived,
    ProposalRequested,
    StatementsRequested,
    StatementsShown,
    StatusReceived,
    UpdateReceived,
    VoteReceived,
)
from consensus.judging import MetricsReceived
from consensus.messages import (
    BlocksMessage,
    BlocksRequestMessage,
    CertificateMessage,
    EntryProofMessage,
    EvidenceMessage,
    HaveMessage,
    Message,
    MetricsMessage,
    ProposalMessage,
    ProposalRequestMessage,
    StatementsMessage,
    StatementsRequestMessage,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
    statements_hash,
)
from ledger.certificates import certificate_hash
from ledger.errors import DecodeError, SignatureError
from ledger.evidence import content_problem, evidence_root, place_problem, role_problem
from ledger.genesis import Contract
from ledger.keys import SignatureScheme, Signed, StatementT, Verified, verify
from ledger.metrics import MetricsReport
from ledger.records import Block, HaveList, Proposal, UpdateHeader, Vote, block_id


def verify_message(
    message: Message, *, contract: Contract, chain_id: bytes, scheme: SignatureScheme
) -> Input:
    """Return the input that a decoded message is, after checking who signed it.

    Raises:
        SignatureError: If a signer is no member, may not say this, or did not sign it.
        DecodeError: If the parts of the message do not fit each other.
    """
    gate = _Gate(contract, chain_id, scheme)
    match message:
        case CertificateMessage():
            return CertificateReceived(certificate=message.certificate)
        case EntryProofMessage():
            return _entry_proof(message, gate)
        case BlocksMessage():
            return _blocks(message)
        case EvidenceMessage():
            return _evidence(message, gate)
        case StatementsMessage():
            return _statements(message, gate)
        case _:
            return _one_statement(message, gate)


def _one_statement(
    message: UpdateMessage
    | HaveMessage
    | ProposalMessage
    | VoteMessage
    | StatusMessage
    | BlocksRequestMessage
    | ProposalRequestMessage
    | StatementsRequestMessage
    | MetricsMessage,
    gate: "_Gate",
) -> Input:
    found: Input
    match message:
        case UpdateMessage():
            found = UpdateReceived(update=gate.verified_update(message))
        case HaveMessage():
            found = HaveReceived(have=gate.verified(message.have, is_validators=True))
        case ProposalMessage():
            found = _proposal(message, gate)
        case VoteMessage():
            found = VoteReceived(vote=gate.verified(message.vote, is_validators=True))
        case StatusMessage():
            found = StatusReceived(status=gate.verified(message.status))
        case BlocksRequestMessage():
            found = BlocksRequested(request=gate.verified(message.request))
        case ProposalRequestMessage():
            found = ProposalRequested(request=gate.verified(message.request))
        case StatementsRequestMessage():
            found = StatementsRequested(request=gate.verified(message.request))
        case MetricsMessage():
            found = MetricsReceived(metrics=gate.verified_metrics(message))
    return found


class _Gate:
    """Membership, role, then signature, in this order: cheap checks first."""

    def __init__(self, contract: Contract, chain_id: bytes, scheme: SignatureScheme) -> None:
        self.contract = contract
        self._members = contract.members
        self._chain_id = chain_id
        self._scheme = scheme

    def verified(
        self, signed: Signed[StatementT], *, is_validators: bool = False
    ) -> Verified[StatementT]:
        if signed.signer >= len(self._members):
            count = len(self._members)
            raise SignatureError(f"expected one of {count} members, got member {signed.signer}")
        member = self._members[signed.signer]
        if is_validators and not member.is_validator:
            kind = type(signed.statement).__name__
            raise SignatureError(f"{kind}: member {signed.signer} is no validator")
        return verify(signed, member.public_key, chain_id=self._chain_id, scheme=self._scheme)

    def verified_update(self, message: UpdateMessage) -> Verified[UpdateHeader]:
        update = message.update
        if update.statement.trainer != update.signer:
            raise SignatureError(
                f"UPDATE of trainer {update.statement.trainer} signed by member {update.signer}"
            )
        return self.verified(update)

    def verified_metrics(self, message: MetricsMessage) -> Verified[MetricsReport]:
        signer = message.metrics.signer
        if signer < len(self._members) and not self._members[signer].has_hold_out:
            raise SignatureError(f"METRICS: member {signer} has no hold-out")
        return self.verified(message.metrics, is_validators=True)


def _proposal(message: ProposalMessage, gate: _Gate) -> ProposalReceived:
    proposal = gate.verified(message.proposal, is_validators=True)
    statement = proposal.statement
    if block_id(message.block.header) != statement.block_id:
        raise DecodeError("PROPOSAL: the block that came with it is not the one it names")
    _check_content(message.block)
    if message.block.header.height != statement.height:
        raise DecodeError(
            f"PROPOSAL of height {statement.height} with a block of height "
            f"{message.block.header.height}"
        )
    certificate = message.certificate[0] if message.certificate else None
    return ProposalReceived(proposal=proposal, block=message.block, certificate=certificate)


def _check_content(block: Block) -> None:
    """Refuse a block whose lists are not those that its header names.

    Signatures and certificates cover the header alone. Without this check, whoever passes a block
    on could change its lists and make an honest proposer's block look invalid.
    """
    header = block.header
    expected = (
        header.updates_root,
        header.haves_root,
        header.evidence_root,
        header.metrics_root,
        header.operations_root,
        header.last_certificate_hash,
    )
    got = (
        block.updates_root,
        block.haves_root,
        evidence_root(block.evidence),
        block.metrics_root,
        block.operations_root,
        certificate_hash(block.last_certificate),
    )
    if got != expected:
        raise DecodeError(f"block of height {header.height}: its lists are not its header's")


def _entry_proof(message: EntryProofMessage, gate: _Gate) -> EntryProofReceived:
    if any(vote.statement.height != message.height for vote in message.votes):
        raise DecodeError(f"entry proof of height {message.height} with votes of another height")
    votes = tuple(gate.verified(vote, is_validators=True) for vote in message.votes)
    return EntryProofReceived(height=message.height, view=message.view, votes=votes)


def _evidence(message: EvidenceMessage, gate: _Gate) -> EvidenceReceived:
    evidence = message.evidence
    problem = (
        place_problem(evidence)
        or content_problem(evidence)
        or role_problem(gate.contract, (), evidence)
    )
    if problem is not None:
        raise DecodeError(f"EVIDENCE: {problem}")
    for signed in (evidence.first, evidence.second):
        gate.verified(signed)
    return EvidenceReceived(evidence=evidence)


def _statements(message: StatementsMessage, gate: _Gate) -> StatementsShown:
    answer, shown = gate.verified(message.answer), message.statements
    if answer.statement.statements_hash != statements_hash(shown):
        raise DecodeError("STATEMENTS: what came with the answer is not what it names")
    signed: tuple[Signed[HaveList | Proposal | Vote | MetricsReport], ...]
    signed = (*shown.haves, *shown.proposals, *shown.votes, *shown.metrics)
    asker = answer.statement.asker
    if any(each.signer != asker for each in (*shown.updates, *signed)):
        raise DecodeError(f"STATEMENTS: expected statements of member {asker} only")
    for update in shown.updates:
        gate.verified_update(UpdateMessage(update=update))
    for each in signed:
        gate.verified(each, is_validators=True)
    return StatementsShown(answer=answer, statements=shown)


def _blocks(message: BlocksMessage) -> BlocksReceived:
    heights = [block.header.height for block in message.blocks]
    if not heights or heights != list(range(heights[0], heights[0] + len(heights))):
        raise DecodeError(f"expected blocks of consecutive heights, got {heights[:8]}")
    for block in message.blocks:
        _check_content(block)
    return BlocksReceived(blocks=message.blocks, certificate=message.certificate)
