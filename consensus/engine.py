"""The engine: `step(input) -> effects`, from height to height, without clock, disk or network.

One `Height` is in work at a time. The engine starts it, hands it what belongs to it, keeps a few
inputs of the next one, and when it is decided commits the block and goes on.
"""

from collections.abc import Collection, Sequence

from consensus import bans, past, rebroadcast, standing
from consensus import effects as fx
from consensus.asking import Asking, statements_in
from consensus.change_inputs import Change, KeyMade
from consensus.changes import Changes
from consensus.desk import Desk
from consensus.evaluation import Evaluation
from consensus.height import Height
from consensus.judging import Evaluated, MetricsReceived
from consensus.later import NOBODY, Later
from consensus.line_inputs import Reconnected
from consensus.messages import CertificateMessage
from consensus.peer_inputs import PeerInput, StatementInput, signed_of
from consensus.proposals import BlockStatus
from consensus.rules import Decide
from consensus.signer import Signer
from consensus.sync import Sync, certified, check_decision
from consensus.trainers import Trainers
from consensus.training import Training
from ledger.errors import CertificateError
from ledger.genesis import Contract
from ledger.keys import SignatureScheme, Signed
from ledger.operations import Agreed
from ledger.records import Block, BlockKind, Evidence, Phase, Proposal, QuorumCertificate
from ledger.state import State, apply
from ledger.validity import check_block


class Engine:
    """Agrees with the other members on one block after another.

    Args:
        contract: The founders' contract; what is in force follows from it and the state.
        state: The state after the last block in the ledger.
        tip_certificate: That block's certificate, None before block 1.
        member: The own number; None for an observer.
        signer: The own key with its record; None for an observer.
        scheme: How signatures are checked.
        proposals: The proposals and blocks made durable by `SaveProposal`.
        evidence: Evidence made durable by `SaveEvidence`.
        lost_updates: Ids of own updates in the record whose bodies are not here any more.
        operations: The pending operations made durable by `KeepOperations`.
    """

    def __init__(  # noqa: PLR0913  # what a node is made of, passed once
        self,
        *,
        contract: Contract,
        state: State,
        tip_certificate: QuorumCertificate | None,
        member: int | None,
        signer: Signer | None,
        scheme: SignatureScheme,
        proposals: Sequence[tuple[Signed[Proposal], Block]] = (),
        evidence: Sequence[Evidence] = (),
        lost_updates: Collection[bytes] = (),
        operations: Sequence[Agreed] = (),
    ) -> None:
        self._desk = Desk(
            contract=contract,
            state=state,
            tip_certificate=tip_certificate,
            member=member,
            signer=signer,
            scheme=scheme,
        )
        self._desk.lost_updates.update(lost_updates)
        for each in evidence:
            self._desk.accusations.add(self._desk.contract, state, each)
        self._proposals = tuple(proposals)
        self._trainers = Trainers()
        self._asking = Asking(self._desk)
        self._height: Height | None = None
        self._later = Later()
        self._sync = Sync(self._desk)
        self._training = Training(self._desk)
        self._evaluation = Evaluation(self._desk)
        self._past = past.Past(self._desk)
        self._changes = Changes(self._desk, operations)
        self._rebroadcast_at = 0
        self._is_halted = False

    @property
    def state(self) -> State:
        """The state after the last committed block."""
        return self._desk.state

    @property
    def height(self) -> int:
        """The height in work, or the one that would follow when the chain is finished."""
        return self._desk.height

    @property
    def view(self) -> int:
        """The view that this node is in."""
        return self._desk.record.view

    @property
    def is_finished(self) -> bool:
        """Whether no further height opens; requests are answered all the same (rule P15)."""
        return not self._changes.opens_height()

    def step(self, happened: fx.Input, *, now_ms: int) -> tuple[fx.Effect, ...]:
        """Take one input and return the effects, to be carried out strictly in order.

        Nothing that a peer sends makes this raise: it is dropped, with a `Notice` where a person
        should know. After a `fx.Halt` the engine does nothing any more.

        Args:
            happened: What happened.
            now_ms: The host's clock, in milliseconds since 1970.
        """
        if self._is_halted:
            return ()
        self._desk.now_ms = now_ms
        self._take(happened)
        self._run()
        if self._desk.is_asking and self._asking.is_over():
            self._desk.end_asking()
            self._begin_to_sign()
            self._run()
        self._sync.pursue()
        effects = self._desk.take()
        for position, effect in enumerate(effects):
            if isinstance(effect, fx.Halt):
                self._is_halted = True
                return effects[: position + 1]
        return effects

    def _take(self, happened: fx.Input) -> None:
        match happened:  # the most frequent first
            case fx.VoteReceived() | fx.UpdateReceived() | fx.HaveReceived():
                self._hear_statement(happened)
            case fx.CertificateReceived():
                self._hear_certificate(happened.certificate)
            case fx.TimerFired():
                self._time_out(happened.timer)
            case fx.UpdateTrained() | fx.BlockBuilt() | fx.BlockChecked():
                self._take_result(happened)
            case fx.UpdateHeld() | fx.ProposalReceived() | fx.EntryProofReceived():
                self._hear(happened)
            case fx.EvidenceReceived() | MetricsReceived() | Evaluated():
                self._hear_for_a_block(happened)
            case fx.StatementsShown():
                self._hear_shown(happened)
            case fx.Started():
                self._start()
            case _ if isinstance(happened, Change | KeyMade):
                self._take_change(happened)
            case _:
                self._take_sync(happened)

    def _take_sync(
        self,
        happened: Reconnected
        | fx.StatusReceived
        | fx.BlocksReceived
        | fx.BlocksRequested
        | fx.ProposalRequested
        | fx.StatementsRequested,
    ) -> None:
        match happened:
            case fx.StatusReceived():
                self._sync.heard(happened.status.signer, happened.status.statement.height)
            case fx.BlocksReceived():
                self._catch_up(happened)
            case Reconnected():
                self._asking.begin()
                self._rebroadcast_at = self.height
                self._rebroadcast()
            case fx.StatementsRequested():
                self._asking.hear_request(happened.request.signed, self._height)
            case _:
                self._past.answer(happened, self._height)

    def _take_change(self, happened: Change | KeyMade) -> None:
        if isinstance(happened, KeyMade):
            if self._desk.add_key(happened.key):
                self._begin_to_sign()
            return
        self._changes.take(happened)
        if self._height is None and not self.is_finished:
            self._begin_height()

    def _start(self) -> None:
        bans.stop_if_banned(self._desk)
        standing.show_own(self._desk)
        rebroadcast.set_timer(self._desk)
        self._asking.begin()
        self._begin_height()
        if self._height is not None:
            rebroadcast.republish_height(self._height.facts, self._desk)
        rebroadcast.republish_status(self._desk)

    def _hear_shown(self, shown: fx.StatementsShown) -> None:
        self._asking.hear_answer(shown)
        for certificate in shown.statements.certificates:
            self._hear_certificate(certificate)

    def _begin_to_sign(self) -> None:
        if self._height is not None and self._desk.is_signing:
            self._height.begin_to_sign(self._proposals)
            self._work_on_model(self._height)
            rebroadcast.republish_height(self._height.facts, self._desk)

    def _work_on_model(self, height: Height) -> None:
        self._evaluation.begin_height()
        own = self._training.begin_height()
        if own is not None:
            height.hear_update(own, is_held=True)

    def _begin_height(self) -> None:
        """Start the height after the last block, if it opens (rules P10, P15)."""
        self._desk.begin_height()
        self._changes.begin_height(is_behind=self._sync.is_behind)
        height = Height(self._desk, self._trainers.heard)
        self._height = None
        if self.is_finished:
            proposer = height.facts.proposer(0)
            self._desk.emit(
                fx.Progress(height=self.height, view=0, phase="finished", proposer=proposer)
            )
            return
        self._height = height
        height.resume(self._proposals)
        height.start()
        self._work_on_model(height)
        for event in self._later.take(self.height, self._desk.is_signed):
            self._hear(event)

    def _run(self) -> None:
        while self._height is not None and self._height.has_news:
            decision = self._height.run()
            if decision is None:
                return
            self._decide(self._height, decision)

    def _decide(self, height: Height, decision: Decide) -> None:
        """Rule P28: commit the block, or stop where a quorum decided what is invalid here."""
        held = height.facts.proposals.blocks[decision.block_id]
        if held.status is BlockStatus.INVALID:
            self._halt_at_invalid(decision.block_id, held.reason)
            return
        tally = height.facts.tally
        certificate = tally.certificate(Phase.COMMIT, decision.view)
        known = [vote for phase in Phase for vote in tally.votes(phase, decision.view)]
        self._past.decided(self.height, known)
        self._commit(held.block, certificate, is_tip=True)
        self._begin_height()

    def _commit(self, block: Block, certificate: QuorumCertificate, *, is_tip: bool) -> None:
        """Append a decided block; sign COMMIT for it if that is still allowed (rule P40)."""
        desk = self._desk
        state = apply(desk.contract, desk.state, block)
        desk.emit(fx.CommitBlock(block=block, certificate=certificate, state=state))
        self._height = None
        if block.header.kind is BlockKind.AGGREGATE:
            self._trainers.forget_bodies()
        if is_tip:
            certificate = self._past.sign_commit(certificate)
            desk.publish(CertificateMessage(certificate=certificate))
        desk.follow(state)
        desk.tip_certificate = certificate
        bans.show(block, desk)
        standing.show(block, desk)

    def _halt_at_invalid(self, block_id: bytes, reason: str) -> None:
        self._height = None
        text = f"a quorum decided block {block_id.hex()[:8]} of height {self.height}, which this"
        text = f"{text} node finds invalid: {reason} (rule P28)"
        self._desk.emit(fx.Halt(reason=text, is_lasting=True))

    def _catch_up(self, received: fx.BlocksReceived) -> None:
        """Rule P80: commit decided blocks, each checked like one that was voted on here."""
        desk = self._desk
        has_moved = False
        # Each block and certificate is checked here; `verify_message` saw that they fit each other.
        for block, certificate in certified(received):
            if block.header.height != self.height:
                continue
            try:
                check_decision(block, certificate, desk)
            except CertificateError as error:
                desk.notice(f"height={self.height}: blocks dropped: {error}", is_error=False)
                break
            findings = check_block(desk.contract, desk.state, block, scheme=desk.scheme)
            if findings:
                self._halt_at_invalid(certificate.block_id, str(findings[0]))
                return
            for signed in statements_in(block, certificate, desk.state.validators, desk.member):
                desk.take_own(signed)
            self._commit(block, certificate, is_tip=block is received.blocks[-1])
            self._asking.note_blocks()
            desk.begin_height()
            has_moved = True
        if has_moved:
            self._begin_height()

    def _hear(self, event: PeerInput) -> None:
        """Hand a peer's input to the height that it is about."""
        if isinstance(event, fx.EntryProofReceived):
            self._hear_entry_proof(event)
        else:
            self._hear_statement(event)

    def _hear_statement(self, event: StatementInput) -> None:
        desk = self._desk
        signed = signed_of(event)
        desk.take_own(signed)
        if isinstance(event, fx.UpdateReceived | fx.UpdateHeld):
            event = self._trainers.note(event, height=desk.height)
        height = signed.statement.height
        if height == desk.height and self._height is not None:
            self._height.hear(event)
        elif height > desk.height:
            self._sync.heard(signed.signer, height - 1)
            self._later.keep(event, signed.signer, is_next=height == desk.height + 1)
        elif isinstance(event, fx.VoteReceived) and height < desk.height:
            self._past.hear_vote(event.vote.signed)

    def _hear_entry_proof(self, event: fx.EntryProofReceived) -> None:
        votes = [each.signed for each in event.votes]
        for each in votes:
            self._desk.take_own(each)
        if event.height == self.height and self._height is not None:
            self._height.hear_entry_proof(votes)
        elif event.height > self.height:
            for each in votes:
                self._sync.heard(each.signer, event.height - 1)
            self._later.keep(event, NOBODY, is_next=event.height == self.height + 1)

    def _hear_certificate(self, certificate: QuorumCertificate) -> None:
        if certificate.height == self._desk.height and self._height is not None:
            self._height.hear_certificate(certificate)
        elif certificate.height == self._desk.height - 1:
            self._past.hear_certificate(certificate)

    def _take_result(self, result: fx.UpdateTrained | fx.BlockBuilt | fx.BlockChecked) -> None:
        """Take what the host worked out."""
        if isinstance(result, fx.UpdateTrained):
            own = self._training.trained(result)
            if own is not None and self._height is not None:
                self._height.hear_update(own, is_held=True)
        elif isinstance(result, fx.BlockChecked):
            is_tip = result.block_id == self._desk.state.tip_id
            if is_tip and not result.is_valid:
                self._halt_at_invalid(result.block_id, result.reason)
            elif self._height is not None:
                self._height.checked(result)
        elif self._height is not None and result.height == self.height:
            self._height.built(result)

    def _hear_for_a_block(self, event: fx.EvidenceReceived | MetricsReceived | Evaluated) -> None:
        if isinstance(event, fx.EvidenceReceived):
            self._desk.hear_evidence(event.evidence)
            return
        if isinstance(event, Evaluated):
            self._evaluation.evaluated(event)
        else:
            self._sync.heard(event.metrics.signer, event.metrics.statement.height)
            self._desk.take_own(event.metrics.signed)
            self._desk.hear_metrics(event.metrics.signed)
        if self._height is not None:
            self._height.hear_metrics()

    def _time_out(self, timer: fx.Timer) -> None:
        if timer.kind is fx.TimerKind.REBROADCAST:
            self._rebroadcast()
        elif timer.kind is fx.TimerKind.ASK:
            self._asking.timeout()
        elif timer.height != self.height:
            return
        elif timer.kind is fx.TimerKind.FETCH and timer.view == 0:
            self._sync.timeout()
        elif self._height is not None:
            self._height.timeout(timer)

    def _rebroadcast(self) -> None:
        """Rule P35: say everything again once a height lasts longer than a period."""
        rebroadcast.set_timer(self._desk)
        self._past.begin_period()
        self._asking.begin_period()
        self._sync.begin_period()
        self._changes.republish(is_behind=self._sync.is_behind)
        rebroadcast.republish_status(self._desk)
        if self._height is None:
            rebroadcast.republish_decision(self._desk)
        else:
            rebroadcast.republish_pending(self._desk)
            if self._rebroadcast_at == self.height:
                rebroadcast.republish_height(self._height.facts, self._desk)
        self._rebroadcast_at = self.height
