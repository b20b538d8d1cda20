"""What must hold at every step of every run, whatever the faults; a breach is a `ViolationError`.

The checkers see everything that is said and every block that is decided. They keep an auditor's own
copy of the chain, computed from the genesis alone.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

from consensus.effects import CommitBlock, Notice, Progress, ReportContradiction
from consensus.messages import (
    CertificateMessage,
    EntryProofMessage,
    HaveMessage,
    Message,
    MetricsMessage,
    ProposalMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.certificates import check_certificate
from ledger.errors import CertificateError
from ledger.genesis import Contract, chain_id
from ledger.inclusion import opens_for_feedback, staleness
from ledger.keys import SignatureScheme, Signed
from ledger.membership import contract_in_force, public_keys_at
from ledger.powers import ValidatorSet, cap_budget
from ledger.records import Block, BlockHeader, Phase, QuorumCertificate, Vote, block_id
from ledger.state import State, apply, initial_state, state_root
from ledger.validity import check_block
from tests.simulation.buffers import check_buffers
from tests.simulation.contracts import EPOCH_MS
from tests.simulation.discipline import Discipline, Said
from tests.simulation.feedback import FeedbackChecker
from tests.simulation.packets import ViolationError
from tests.simulation.second_opinion import judge_block, judge_durable, judge_quorum
from tests.simulation.substance import Substance

if TYPE_CHECKING:
    from tests.simulation.node import Node

BAN_BLOCKS = 3
"""Blocks of honest proposers after a contradiction was seen in a healed network, within which its
author is banned; it may itself propose several heights in a row."""


class Checkers:
    """All promises of the protocol, checked from outside."""

    def __init__(
        self,
        contract: Contract,
        scheme: SignatureScheme,
        honest: tuple[int, ...],
        substance: Substance,
    ) -> None:
        self.decided: dict[int, bytes] = {}
        self.certificates: set[tuple[Phase, int, int, bytes]] = set()
        self.views: set[tuple[int, int]] = set()
        self.kinds: dict[int, str] = {}
        self.accused: set[int] = set()
        self.proven: dict[int, int] = {}
        self.banned: frozenset[int] = frozenset()
        self.lock_refusals = 0
        self.late_updates = 0
        self.metrics = 0
        self.closings = 0
        self._contract = contract
        self._chain_id = chain_id(contract)
        self._scheme = scheme
        self._substance = substance
        self._honest = set(honest)
        self.states: list[State] = [initial_state(contract)]
        self._honest_blocks = 0
        self.decided_ms: dict[int, int] = {}
        self._checked: set[QuorumCertificate] = set()
        self._blocks: dict[bytes, Block] = {}
        self._discipline = Discipline(self._honest, self.validators_of)
        self._feedback = FeedbackChecker(contract, self._honest)

    def admit(self, member: int) -> None:
        """Count a member that joins during the run among the honest ones."""
        self._honest.add(member)

    # --- what is said ---------------------------------------------------------------------------

    def on_said(self, node: "Node", message: Message) -> None:
        """Look at everything that a node signed in a message it is about to send."""
        match message:
            case VoteMessage():
                self._on_statement(node, message.vote)
                if node.member in self._honest:
                    self.lock_refusals += message.reason.startswith("locked")
                    self._on_vote(node, message.vote.statement)
            case ProposalMessage():
                self._blocks[message.proposal.statement.block_id] = message.block
                self._on_proposal(node, message)
            case HaveMessage():
                self._on_statement(node, message.have)
            case UpdateMessage():
                self._on_statement(node, message.update)
            case MetricsMessage():
                self._on_statement(node, message.metrics)
                self._feedback.on_metrics(node, message.metrics)
            case EntryProofMessage():
                for vote in message.votes:
                    self._on_statement(node, vote)
            case CertificateMessage():
                self._on_certificate(node, message.certificate)
            case _:
                pass

    def _on_proposal(self, node: "Node", offer: ProposalMessage) -> None:
        self._on_statement(node, offer.proposal)
        self._feedback.on_proposal(node, offer, self.states)
        for certificate in offer.certificate:
            self._on_certificate(node, certificate)

    def _on_statement(self, node: "Node", signed: Signed[Said]) -> None:
        if signed.signer == node.member:
            self._discipline.on_statement(signed)

    def _on_vote(self, node: "Node", vote: Vote) -> None:
        if vote.height == node.height + 1:
            judge_durable(vote, self._blocks, node.disk)

    def _on_certificate(self, node: "Node", certificate: QuorumCertificate) -> None:
        """An honest node's certificate holds; a liar's own votes may be known from it only."""
        if certificate.height > len(self.states):
            return
        if node.member in self._honest:
            self._check_certificate(certificate)
            self.certificates.add(
                (certificate.phase, certificate.height, certificate.view, certificate.block_id)
            )
        self._discipline.on_certificate(certificate)

    @property
    def state(self) -> State:
        """The state after the last decided block."""
        return self.states[-1]

    # --- what is decided ------------------------------------------------------------------------

    def validators_of(self, height: int) -> ValidatorSet:
        """The set of a height, from the auditor's own chain."""
        return self.states[height - 1].validators

    def state_before(self, height: int) -> State:
        """The state on which the block of a height is built."""
        return self.states[height - 1]

    def durations_ms(self) -> tuple[int, ...]:
        """How long the heights took from decision to decision; not the first."""
        times = [self.decided_ms[height] for height in sorted(self.decided_ms)]
        return tuple(after - before for before, after in pairwise(times))

    def on_commit(self, node: "Node", effect: CommitBlock) -> None:
        """Check a decision before it reaches the node's ledger."""
        if node.member not in self._honest:
            return
        header = effect.block.header
        height, own_id = header.height, block_id(header)
        if height != node.height + 1:
            raise ViolationError(f"prefix: member {node.member} appends {height} to {node.height}")
        if height > len(self.states):
            raise ViolationError(f"prefix: height {height} decided before its parent")
        other = self.decided.setdefault(height, own_id)
        self.decided_ms.setdefault(height, EPOCH_MS + node.world.now)
        if other != own_id:
            raise ViolationError(
                f"agreement: height {height} decided as {other.hex()[:8]} and, by member"
                f" {node.member}, as {own_id.hex()[:8]}"
            )
        certificate = effect.certificate
        if (certificate.phase, certificate.height, certificate.block_id) != (
            Phase.COMMIT,
            height,
            own_id,
        ):
            raise ViolationError(f"certificate of another block decides height {height}")
        self._check_certificate(certificate)
        judge_quorum(certificate, self.validators_of(height))
        if height == len(self.states):
            self._audit(effect)
        if effect.state is not self.states[height] and effect.state != self.states[height]:
            raise ViolationError(f"state of member {node.member} differs at height {height}")

    def _check_certificate(self, certificate: QuorumCertificate) -> None:
        if certificate in self._checked:
            return
        self._checked.add(certificate)
        try:
            check_certificate(
                certificate,
                self.validators_of(certificate.height),
                public_keys_at(self.states[-1].membership, certificate.height),
                chain_id=self._chain_id,
                scheme=self._scheme,
            )
        except CertificateError as error:
            raise ViolationError(f"certificate: {error}") from None

    def _audit(self, effect: CommitBlock) -> None:
        """Check a decided block as an outsider does, from genesis and blocks alone."""
        block, parent = effect.block, self.states[-1]
        contract = contract_in_force(self._contract, parent)
        findings = check_block(contract, parent, block, scheme=self._scheme)
        if findings:
            raise ViolationError(f"validity: height {block.header.height}: {findings}")
        self._substance.audit(contract, parent, block)
        judge_block(contract, parent, block)
        state = apply(contract, parent, block)
        if state_root(state) != block.header.state_root:
            raise ViolationError(f"state root of height {block.header.height} differs")
        self._check_cap(state)
        self._honest_blocks += block.header.proposer in self._honest
        self._check_bans(state)
        self._feedback.on_block(contract, parent, block, state)
        self.kinds[block.header.height] = block.header.kind.name
        self._count_late(parent, block)
        self.metrics += len(block.metrics)
        self.closings += opens_for_feedback(contract, parent)
        self.states.append(state)

    def _count_late(self, parent: State, block: Block) -> None:
        """Rule P10: count the included updates whose base is older than the parent's model."""
        included = {each.trainer for each in block.header.results.contributions}
        self.late_updates += sum(
            each.statement.trainer in included and staleness(parent, each.statement) > 0
            for each in block.updates
        )

    def _check_cap(self, state: State) -> None:
        """Rule P41: the heaviest validators within the budget stay below a third."""
        powers = sorted(each.power for each in state.validators.validators)
        budget = cap_budget(state.membership.terms.byzantine_budget, len(powers))
        heaviest = sum(powers[len(powers) - budget :])
        is_held = 3 * heaviest < sum(powers) if budget else set(powers) == {1}
        if not is_held:
            raise ViolationError(f"cap: powers {powers} with budget {budget}")

    def _check_bans(self, state: State) -> None:
        """Rule P45: no honest member is ever banned, a proven equivocator soon is."""
        self.banned = frozenset(state.banned)
        if self.banned & self._honest:
            raise ViolationError(f"bans: honest members among {sorted(self.banned)}")
        if not self.banned.isdisjoint(state.validators.members):
            raise ViolationError(f"bans: {sorted(self.banned)} still vote")
        for member, seen_at in self.proven.items():
            blocks = self._honest_blocks - seen_at
            if state.validators.power_of(member) and blocks > BAN_BLOCKS:
                raise ViolationError(
                    f"bans: member {member} contradicted itself and still has power at height"
                    f" {state.height + 1}, {blocks} blocks of honest proposers later"
                )

    # --- what is shown --------------------------------------------------------------------------

    def on_contradiction(self, node: "Node", effect: ReportContradiction) -> None:
        """Only liars may ever be accused."""
        if node.member not in self._honest:
            return
        if effect.member in self._honest or effect.first == effect.second:
            raise ViolationError(f"member {node.member} accuses honest member {effect.member}")
        self.accused.add(effect.member)
        # METRICS are the one kind that does not ban (rule P45).
        is_proof = not isinstance(effect.first, MetricsMessage)
        if is_proof and node.world.healed_at is not None:
            self.proven.setdefault(effect.member, self._honest_blocks)

    def on_display(self, node: "Node", effect: Notice | Progress) -> None:
        """Count the views that honest nodes entered; no record may lack what was said (P60)."""
        is_told = isinstance(effect, Notice) and "record lacked" in effect.text
        if is_told and node.member in self._honest and not node.has_lost_state:
            raise ViolationError(f"record: member {node.member} said what it then forgot: {effect}")
        if isinstance(effect, Progress) and node.member in self._honest and effect.view > 0:
            self.views.add((effect.height, effect.view))
            if effect.height <= len(self.states):
                self._discipline.check_entry(node.member, effect.height, effect.view)

    def check_end(self, nodes: list["Node"]) -> None:
        """Bounded buffers, and ledgers that are prefixes of one another."""
        for member in self._honest:
            node = nodes[member]
            check_buffers(node)
            for height in range(1, node.height + 1):
                header: BlockHeader = node.disk.block_at(height).header
                if block_id(header) != self.decided[height]:
                    raise ViolationError(f"prefix: ledger of member {member} at {height}")
