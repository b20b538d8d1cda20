"""One height in work: what comes in becomes facts, and the rules are applied to them."""

from collections.abc import Iterable
from functools import partial

from consensus import acts, rules
from consensus.collect import Collection
from consensus.desk import Desk
from consensus.effects import (
    BlockBuilt,
    BlockChecked,
    HaveReceived,
    ProposalReceived,
    SetTimer,
    Timer,
    TimerKind,
    UpdateHeld,
    UpdateReceived,
    VoteReceived,
)
from consensus.messages import HaveMessage, ProposalMessage
from consensus.peer_inputs import StatementInput
from consensus.proposals import BlockStatus, HeldBlock
from consensus.record import SlotKind, Step
from consensus.rules import Decide, Facts
from consensus.timeouts import collect_ms
from consensus.votes import Tally, votes_of
from ledger.certificates import check_certificate
from ledger.election import schedule
from ledger.errors import CertificateError
from ledger.inclusion import empty_view, opens_for_feedback
from ledger.keys import Signed
from ledger.records import (
    FRESH,
    NIL,
    Block,
    HaveList,
    Phase,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    Vote,
)


class Height:
    """Collects, proposes and votes at the height after `desk.state`.

    Args:
        desk: Shared with the engine.
        heard: For each trainer the newest height for which a header of it arrived.

    Attributes:
        has_news: Whether something changed that a rule may look at since `run` tried them all.
            Rules see the record and the facts alone, and most of what peers say was said before
            or reaches no threshold.
    """

    def __init__(self, desk: Desk, heard: dict[int, int]) -> None:
        validators = desk.state.validators
        self.desk = desk
        self.facts = Facts(
            height=desk.height,
            validators=validators,
            proposers=schedule(desk.contract, desk.state),
            member=desk.member,
            is_validator=_may_vote(desk),
            empty_view=empty_view(desk.contract),
            collection=Collection(desk.contract, desk.state, heard),
            tally=Tally(validators),
            latest_ms=partial(acts.latest_time_ms, desk),
        )
        self._is_closing = opens_for_feedback(desk.contract, desk.state)
        self.has_news = True

    def begin_to_sign(self, proposals: Iterable[tuple[Signed[Proposal], Block]]) -> None:
        """Take part from now on, with all that came while the node asked what it signed (P60)."""
        self.facts.is_validator = _may_vote(self.desk)
        self.has_news = True
        self.resume(proposals)
        self.start()

    def start(self) -> None:
        """Start to collect (rule P10)."""
        if self.facts.is_validator:
            timeouts = self.desk.contract.timeouts
            delay_ms = collect_ms(timeouts, self.desk.state.empties_in_row)
            timer = Timer(kind=TimerKind.COLLECT, height=self.facts.height, view=0)
            self.desk.emit(SetTimer(timer=timer, delay_ms=delay_ms))
        acts.show_progress("collect", self.facts, self.desk)

    def resume(self, proposals: Iterable[tuple[Signed[Proposal], Block]]) -> None:
        """Take up what the record and the saved proposals say (rules P60, P82)."""
        record, signer = self.desk.record, self.desk.signer
        for proposal, block in proposals:
            self._restore_proposal(proposal, block)
        for certificate in record.valid:
            self._count_certificate(certificate)
        for vote in record.entry_proof:
            self._count(vote)
        if signer is None or not self.desk.is_signing:
            return
        slot = record.slot(SlotKind.PROPOSAL)
        if slot is not None and slot.position == (self.facts.height, record.view):
            self.facts.asked.add(record.view)
        have = signer.stored_have()
        if have is not None and have.statement.height == self.facts.height:
            self.facts.collection.add_have(have)
        for phase in Phase:
            own = signer.stored_vote(phase)
            if own is not None and own.statement.height == self.facts.height:
                self._count(own)

    def run(self) -> Decide | None:
        """Apply the rules until none applies, or the height is decided."""
        self._try_have()
        while True:
            action = rules.next_action(self.desk.record, self.facts)
            if action is None:
                self.has_news = False
                return None
            if isinstance(action, Decide):
                acts.came(TimerKind.COMMIT, action.view, self.facts, self.desk)
                return action
            acts.perform(action, self.facts, self.desk)

    def hear(self, event: StatementInput) -> None:
        """Take a statement of a member about this height."""
        match event:
            case VoteReceived():
                self._count(event.vote.signed)
            case UpdateReceived():
                self.hear_update(event.update.signed, is_held=False)
            case UpdateHeld():
                self.hear_update(event.update.signed, is_held=True)
            case HaveReceived():
                self.hear_have(event.have.signed)
            case ProposalReceived():
                certificate = () if event.certificate is None else (event.certificate,)
                self.hear_proposal(
                    ProposalMessage(
                        proposal=event.proposal.signed, block=event.block, certificate=certificate
                    )
                )

    def hear_update(self, update: Signed[UpdateHeader], *, is_held: bool) -> None:
        """Keep a trainer's header; list it when its body is here (rules P10, P11).

        A body takes its time: meanwhile a block may have replaced the key that signed the header.
        No block may carry that header then (rule P81).
        """
        if is_held and not self.desk.is_signed(update):
            return
        collection = self.facts.collection
        known = collection.size()
        acts.hear_update(update, self.facts, self.desk)
        if is_held:
            collection.hold(update)
        # A header alone may be what a proposer waits for; before the quorum there is none.
        if (is_held or collection.has_quorum) and collection.size() != known:
            self.has_news = True

    def hear_have(self, have: Signed[HaveList]) -> None:
        """Keep a validator's HAVE list (rule P11)."""
        collection = self.facts.collection
        known = len(collection.haves)
        acts.hear_have(have, self.facts, self.desk)
        if collection.has_quorum and len(collection.haves) != known:
            self.has_news = True

    def hear_proposal(self, offer: ProposalMessage) -> None:
        """Keep a proposal and its block if it is its proposer's (rules P22, P23, P34)."""
        proposal = offer.proposal.statement
        signer = offer.proposal.signer
        if self.facts.proposer(proposal.view) != signer:
            where = f"height={proposal.height} view={proposal.view} member={signer}"
            self.desk.notice(f"{where}: a proposal by a member that does not lead", is_error=False)
            return
        self.has_news = True
        self.facts.tally.note_view(signer, proposal.view)
        first = self.facts.proposals.of_view.get(proposal.view)
        if first is not None and first.proposal.statement != proposal:
            self.desk.report(
                SlotKind.PROPOSAL, proposal.view, member=signer, first=first, second=offer
            )
        if proposal.valid_view != FRESH and not self._is_prepared(offer):
            where = f"height={proposal.height} view={proposal.view} member={signer}"
            text = f"proposed again without a PREPARE certificate of view {proposal.valid_view}"
            self.desk.notice(f"{where}: {text}", is_error=False)
            return
        kept = acts.kept_blocks(self.facts, self.desk)
        self.facts.proposals.add(offer, view=self.desk.record.view, kept=kept)

    def hear_certificate(self, certificate: QuorumCertificate) -> bool:
        """Check a certificate as a whole and keep it; return whether it is a quorum's."""
        if certificate.height != self.facts.height or certificate.block_id == NIL:
            return False
        known = self.facts.tally.quorum(certificate.phase, certificate.view)
        if known == (certificate.valid_view, certificate.block_id):
            return True
        try:
            check_certificate(
                certificate,
                self.facts.validators,
                self.desk.public_keys,
                chain_id=self.desk.state.chain_id,
                scheme=self.desk.scheme,
            )
        except CertificateError as error:
            self.desk.notice(f"height={self.facts.height}: dropped: {error}", is_error=False)
            return False
        self._count_certificate(certificate)
        return True

    def hear_entry_proof(self, votes: Iterable[Signed[Vote]]) -> None:
        """Count the votes of an entry proof, all of this height, like any others (rule P35)."""
        for vote in votes:
            self._count(vote)

    def built(self, answer: BlockBuilt) -> None:
        """Propose the block that was built, unless its view is over (rule P20)."""
        self.has_news = True
        record = self.desk.record
        header = answer.block.header
        if answer.view != record.view or record.step is not Step.PROPOSE:
            return
        if (header.height, header.created_view) != (self.facts.height, answer.view):
            where = f"height={self.facts.height} view={answer.view}"
            text = f"built for height {header.height} view {header.created_view}"
            self.desk.notice(f"{where}: not proposed: the block was {text}", is_error=True)
            return
        certificate = record.certificate
        if answer.view not in self.facts.asked:
            return
        is_late = certificate is not None and certificate.view < answer.view
        if certificate is not None and is_late and self.facts.is_valid(certificate.block_id):
            # It became known, or was fetched, while the fresh block was built.
            acts.reoffer(certificate, self.facts, self.desk)
        else:
            acts.propose_fresh(answer.block, self.facts, self.desk)

    def checked(self, answer: BlockChecked) -> None:
        """Take over the result of recomputing a block; late results count (rule P13)."""
        self.has_news = True
        held = self.facts.block(answer.block_id)
        if held is None or held.status is not BlockStatus.CHECKING:
            return
        if answer.is_valid:
            held.status = BlockStatus.VALID
        else:
            acts.refuse_block(held, answer.reason, self.facts, self.desk)

    def hear_metrics(self) -> None:
        """Note that METRICS came: in the closing height HAVE lists wait for them (P15, P16)."""
        self.has_news |= self._is_closing

    def timeout(self, timer: Timer) -> None:
        """Act on a timer of this height (rules P11, P12, P30, P33)."""
        self.has_news = True
        match timer.kind:
            case TimerKind.COLLECT:
                self._sign_have()
            case TimerKind.HAVE_GRACE:
                self.facts.collection.is_grace_over = True
            case TimerKind.FETCH:
                self._fetch_again()
            case _:
                action = rules.on_timeout(self.desk.record, self.facts, timer)
                if action is not None:
                    proposer = self.facts.proposer(timer.view)
                    self.desk.pace.ran_out(timer.kind, timer.view, proposer, self.desk.now_ms)
                    acts.perform(action, self.facts, self.desk)

    def _try_have(self) -> None:
        """Rule P11: HAVE as soon as everything expected is held."""
        collection = self.facts.collection
        is_due = self.facts.is_validator and self.desk.member not in collection.haves
        if is_due and self._is_complete():
            self._sign_have()

    def _is_complete(self) -> bool:
        """Whether waiting brings nothing more: no update, in the closing height no METRICS."""
        if self._is_closing:
            return self.desk.metrics.is_complete(self.desk.contract, self.desk.state)
        return self.facts.collection.is_complete()

    def _sign_have(self) -> None:
        if self.desk.member in self.facts.collection.haves:
            return
        have = HaveList(height=self.facts.height, entries=self.facts.collection.entries())
        signed = self.desk.sign(have)
        if signed is not None:
            self.facts.collection.add_have(signed)
            self.desk.publish(HaveMessage(have=signed))

    def _is_prepared(self, offer: ProposalMessage) -> bool:
        """Whether a PREPARE quorum of the proposal's valid view stands behind its block (P23)."""
        proposal = offer.proposal.statement
        known = self.facts.tally.quorum(Phase.PREPARE, proposal.valid_view)
        if known is not None and known[1] == proposal.block_id:
            return True
        return any(
            each.phase is Phase.PREPARE
            and (each.view, each.block_id) == (proposal.valid_view, proposal.block_id)
            and self.hear_certificate(each)
            for each in offer.certificate
        )

    def _count_certificate(self, certificate: QuorumCertificate) -> None:
        self.has_news = True
        self.facts.tally.add_certificate(certificate)
        for vote in votes_of(certificate, self.facts.validators):
            self._count(vote)

    def _count(self, vote: Signed[Vote]) -> None:
        self.desk.take_own(vote)
        tally = self.facts.tally
        turns = tally.turns
        addition = tally.add(vote, view=self.desk.record.view)
        if tally.turns != turns:
            self.has_news = True
        if addition.contradicted is not None:
            acts.report_vote(vote, addition.contradicted, self.desk)

    def _fetch_again(self) -> None:
        """Ask the next holder; the certificate may be of a later view than the one asked by."""
        committed = self.facts.tally.committed
        certificates = list(self.desk.record.valid)
        if committed is not None:
            certificates.append(self.facts.tally.certificate(Phase.COMMIT, committed[0]))
        for wanted in {each.block_id: each for each in certificates}.values():
            if self.facts.block(wanted.block_id) is None:
                acts.fetch(wanted, self.facts, self.desk)

    def _restore_proposal(self, proposal: Signed[Proposal], block: Block) -> None:
        """Keep a proposal that was durable before a vote or a proposal of this node (P60)."""
        statement = proposal.statement
        if statement.height != self.facts.height:
            return
        valid = [each for each in self.desk.record.valid if each.view == statement.valid_view]
        offer = ProposalMessage(proposal=proposal, block=block, certificate=tuple(valid))
        view = self.desk.record.view
        self.facts.proposals.add(offer, view=view, kept=frozenset({statement.block_id}))
        self.facts.proposals.blocks[statement.block_id] = HeldBlock(
            offer=offer, status=BlockStatus.VALID, is_saved=True
        )
        is_ahead = (statement.view, Step.PROPOSE) >= (view, self.desk.record.step)
        if proposal.signer == self.desk.member and is_ahead:
            # Never build again what may have been signed: the slot gives the same signature. The
            # record may be in an earlier view, because only a signature makes it durable.
            self.facts.asked.add(statement.view)
            self.desk.sign(statement)


def _may_vote(desk: Desk) -> bool:
    return desk.is_signing and desk.state.validators.power_of(desk.member or 0) > 0
