"""The gate: messages become inputs when a member signed them (rule P3).

Membership is checked before the signature, the signature before anything is kept. Certificates, and
the statements inside blocks, are checked by the engine, which knows the sets they belong to. A
statement of a decided height is checked with the key that was in force then. A pending key may sign
READY and requests; who is gone may ask for blocks, from which it learns that it is (rule P81).
"""

from contextlib import suppress

from consensus.change_inputs import OperationReceived, ReadyReceived
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
    OperationMessage,
    ProposalMessage,
    ProposalRequestMessage,
    ReadyMessage,
    Statements,
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
from ledger.genesis import Contract, Member
from ledger.keys import SignatureScheme, Signed, StatementT, Verified, verify
from ledger.membership import public_keys_at
from ledger.metrics import MetricsReport
from ledger.operations import Ready, operation_id
from ledger.records import Block, HaveList, Proposal, UpdateHeader, Vote, block_id
from ledger.state import State


def verify_message(
    message: Message, *, contract: Contract, state: State, scheme: SignatureScheme
) -> Input:
    """Return the input that a decoded message is, after checking who signed it.

    Args:
        message: From anybody.
        contract: The contract in force after `state`.
        state: The state after the last block here.
        scheme: How signatures are checked.

    Raises:
        SignatureError: If a signer is no member, may not say this, or did not sign it.
        DecodeError: If the parts of the message do not fit each other.
    """
    gate = _Gate(contract, state, scheme)
    found: Input
    match message:
        case CertificateMessage():
            found = CertificateReceived(certificate=message.certificate)
        case EntryProofMessage():
            found = _entry_proof(message, gate)
        case BlocksMessage():
            found = _blocks(message)
        case EvidenceMessage():
            found = _evidence(message, gate)
        case OperationMessage():
            found = _operation(message, gate)
        case ReadyMessage():
            found = ReadyReceived(ready=gate.verified_pending(message.ready))
        case StatementsMessage():
            found = _statements(message, gate)
        case _:
            found = _one_statement(message, gate)
    return found


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
            found = BlocksRequested(request=gate.verified_asker(message.request))
        case ProposalRequestMessage():
            found = ProposalRequested(request=gate.verified(message.request))
        case StatementsRequestMessage():
            found = StatementsRequested(request=gate.verified(message.request))
        case MetricsMessage():
            found = MetricsReceived(metrics=gate.verified_metrics(message))
    return found


class _Gate:
    """Membership, role, then signature, in this order: cheap checks first."""

    def __init__(self, contract: Contract, state: State, scheme: SignatureScheme) -> None:
        self.contract = contract
        self.state = state
        self._members = contract.members
        self._scheme = scheme

    def verified(
        self, signed: Signed[StatementT], *, is_validators: bool = False
    ) -> Verified[StatementT]:
        member = self._known(signed)
        is_allowed = member.is_validator if is_validators else member.roles
        if not is_allowed:
            what = "validator" if is_validators else "member now"
            kind = type(signed.statement).__name__
            raise SignatureError(f"{kind}: member {signed.signer} is no {what}")
        return self._checked(signed)

    def verified_asker(self, signed: Signed[StatementT]) -> Verified[StatementT]:
        """Whoever was taken in once may ask for blocks, and with any key that it ever had.

        Only the blocks can tell it that it is gone, or that its key was replaced.
        """
        self._known(signed)
        membership, number = self.state.membership, signed.signer
        earlier = [each.public_key for each in membership.retired if each.member == number]
        for key in earlier:
            with suppress(SignatureError):
                return verify(signed, key, chain_id=self.state.chain_id, scheme=self._scheme)
        return self._checked(signed)

    def verified_pending(self, signed: Signed[Ready]) -> Verified[Ready]:
        self._known(signed)
        if signed.signer not in self.state.membership.pending:
            raise SignatureError(f"READY: member {signed.signer} is not one that is pending")
        return self._checked(signed)

    def _known(self, signed: Signed[StatementT]) -> Member:
        if signed.signer >= len(self._members):
            count = len(self._members)
            raise SignatureError(f"expected one of {count} members, got member {signed.signer}")
        return self._members[signed.signer]

    def _checked(self, signed: Signed[StatementT]) -> Verified[StatementT]:
        stated, height = signed.statement, self.state.height + 1
        if isinstance(stated, UpdateHeader | HaveList | Proposal | Vote):
            height = stated.height
        elif isinstance(stated, MetricsReport):
            height = stated.said_at
        keys = public_keys_at(self.state.membership, height)
        chain_id = self.state.chain_id
        return verify(signed, keys[signed.signer], chain_id=chain_id, scheme=self._scheme)

    def is_own(self, signed: Signed[StatementT]) -> bool:
        """Return whether a shown statement carries its signer's signature (rule P60).

        Its role does not matter: what the own key signed binds the record, also when the member
        may not vote or train any more. What it did not sign is passed over, so that one statement
        that nobody can verify does not hide the others.
        """
        try:
            self._known(signed)
            self._checked(signed)
        except SignatureError:
            return False
        return True

    def verified_update(self, message: UpdateMessage) -> Verified[UpdateHeader]:
        update = message.update
        if update.statement.trainer != update.signer:
            raise SignatureError(
                f"UPDATE of trainer {update.statement.trainer} signed by member {update.signer}"
            )
        if not self._known(update).is_trainer:
            raise SignatureError(f"UPDATE: member {update.signer} is no trainer")
        return self.verified(update)

    def verified_metrics(self, message: MetricsMessage) -> Verified[MetricsReport]:
        signer = message.metrics.signer
        if signer < len(self._members) and not self._members[signer].has_hold_out:
            raise SignatureError(f"METRICS: member {signer} has no hold-out")
        return self.verified(message.metrics, is_validators=True)


def _operation(message: OperationMessage, gate: _Gate) -> OperationReceived:
    expected = operation_id(message.operation, gate.state.chain_id)
    if message.approval.statement.operation_id != expected:
        raise DecodeError("OPERATION: the approval that came with it is of another one")
    approval = gate.verified(message.approval)
    return OperationReceived(operation=message.operation, approval=approval)


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
    own = Statements(
        updates=tuple(each for each in shown.updates if gate.is_own(each)),
        haves=tuple(each for each in shown.haves if gate.is_own(each)),
        proposals=tuple(each for each in shown.proposals if gate.is_own(each)),
        votes=tuple(each for each in shown.votes if gate.is_own(each)),
        metrics=tuple(each for each in shown.metrics if gate.is_own(each)),
        certificates=shown.certificates,
    )
    return StatementsShown(answer=answer, statements=own)


def _blocks(message: BlocksMessage) -> BlocksReceived:
    heights = [block.header.height for block in message.blocks]
    if not heights or heights != list(range(heights[0], heights[0] + len(heights))):
        raise DecodeError(f"expected blocks of consecutive heights, got {heights[:8]}")
    for block in message.blocks:
        _check_content(block)
    return BlocksReceived(blocks=message.blocks, certificate=message.certificate)
