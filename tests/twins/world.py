"""One network with twins, stage by stage; between stages it can branch and be compared.

A stage is what happens under one partition: everybody says again what it would say again (rule
P35), messages reach the replicas on the sender's side until there is nothing left to deliver, and
then timers fire. docs/testing.md says which messages are lost, and why a stage is like this.
"""

from collections import deque
from copy import copy
from typing import Final, TypeAlias

from consensus.effects import (
    BlockBuilt,
    BuildBlock,
    CheckBlock,
    CommitBlock,
    Effect,
    Halt,
    Input,
    Progress,
    Publish,
    ReportContradiction,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TimerKind,
    Train,
    UpdateHeld,
    UpdateReceived,
    UpdateTrained,
)
from consensus.messages import (
    BlocksMessage,
    CertificateMessage,
    HaveMessage,
    Message,
    ProposalRequestMessage,
    StatementsMessage,
    StatementsRequestMessage,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.records import Phase, block_id
from tests.simulation.aggregate import update_id_of
from tests.simulation.contracts import ELEMENTS, EPOCH_MS
from tests.simulation.discipline import Discipline
from tests.simulation.packets import ViolationError
from tests.twins.copying import Keys
from tests.twins.network import Network
from tests.twins.replica import Replica, shown_certificates, statements

STAGE_MS: Final = 60_000
TWIN_SKEW_MS: Final = 1
"""The clocks of twins differ, so that what they propose in one view differs too."""
SAID_AGAIN: Final = (TimerKind.REBROADCAST, TimerKind.FETCH)
"""Timers that fire when a stage begins."""
SOON: Final = (TimerKind.PREPARE, TimerKind.COMMIT)
"""Timers that fire in the stage in which they were set."""
OVER: Final = (TimerKind.ASK, TimerKind.COLLECT, TimerKind.HAVE_GRACE)
"""Timers of what is complete before the first stage."""
HEALED_STAGES_MAX: Final = 8
STEPS_MAX: Final = 50_000

FIRST: Final = (UpdateMessage, HaveMessage, StatementsRequestMessage, StatementsMessage)
"""What is heard before the first stage."""

Work: TypeAlias = Message | BuildBlock | CheckBlock


class World:
    """All replicas of a network at the end of a stage.

    Attributes:
        leaders: Who proposes in the first views, where that is free.
        decided: The block that honest replicas decided.
        stage: Number of the stage that begins next.
    """

    def __init__(self, network: Network, leaders: tuple[int, ...] = ()) -> None:
        self.network = network
        self.leaders = leaders
        self.decided: bytes | None = None
        self.stage = 0
        self.discipline = Discipline(network.terms.honest, lambda _: network.validators)
        self.replicas: list[Replica] = []
        self._queue: deque[tuple[int, Work]] = deque()
        self._side: frozenset[int] = frozenset()
        self._is_healed = True
        self._is_burst = False
        self._steps = 0
        self.use_order()
        self._begin()

    # --- branches -------------------------------------------------------------------------------

    def branch(self) -> "World":
        """A copy that goes its own way."""
        other = copy(self)
        other.discipline = self.discipline.branch()
        other.replicas = [each.branch() for each in self.replicas]
        other._queue = deque(self._queue)
        return other

    def use_order(self) -> None:
        """Let the network's order be that of this branch, in its engines too."""
        network = self.network
        if not network.terms.has_free_order:
            return
        network.order = (*self.leaders, *range(len(network.terms.powers)))
        for replica in self.replicas:
            if replica.engine is not None and replica.engine._height is not None:
                replica.engine._height.facts.proposers = network.order

    @property
    def view(self) -> int:
        """The highest view that a replica is in."""
        return max(
            (each.engine.view for each in self.replicas if each.engine is not None), default=0
        )

    @property
    def is_over(self) -> bool:
        """Whether every honest replica has decided."""
        return all(each.decision is not None for each in self.replicas if each.is_honest)

    def key(self, keys: Keys) -> int:
        """A number that equal worlds share: their futures are the same."""
        number = keys.number
        assert not self._queue or self.stage == 0, "between stages nothing is under way"
        assert all(map(self._has_all_lists, self.replicas)), "what copies share has changed"
        return number(
            (
                self.leaders,
                self.decided,
                tuple(each.key(keys) for each in self.replicas),
                self.discipline.key(number),
            )
        )

    def _has_all_lists(self, replica: Replica) -> bool:
        """Whether a replica knows what it knew when the first stage began, as `SHARED` says."""
        if replica.engine is None or replica.engine._height is None:
            return replica.decision is not None
        collection = replica.engine._height.facts.collection
        count = len(self.network.terms.powers)
        return collection.size() == 3 * count and not collection.is_grace_over

    # --- stages ---------------------------------------------------------------------------------

    def run_stage(self, side: frozenset[int], *, is_healed: bool = False) -> None:
        """Let one stage happen, in which `side` and the other replicas do not hear each other.

        Raises:
            ViolationError: If an honest replica breaks a promise.
        """
        self._side = side
        self._is_healed = is_healed
        self._is_burst = True
        self._steps = 0
        waiting, self._queue = self._queue, deque()
        for replica in self.replicas:
            if replica.decision is not None:
                message = CertificateMessage(certificate=replica.decision.certificate)
                self._publish(replica, message)
            for timer in [each for each in replica.timers if each.kind in SAID_AGAIN]:
                del replica.timers[timer]
                self._feed(replica, TimerFired(timer=timer))
        self._is_burst = False
        self._queue.extendleft(reversed(waiting))
        self._settle()
        self.stage += 1

    def heal(self) -> None:
        """Let everybody hear everybody from now on: all honest replicas must decide.

        Raises:
            ViolationError: If they do not, or if an honest replica breaks a promise.
        """
        for _ in range(HEALED_STAGES_MAX):
            if self.is_over:
                return
            self.run_stage(frozenset(), is_healed=True)
        if not self.is_over:
            views = [each.engine and each.engine.view for each in self.replicas]
            raise ViolationError(f"liveness: nobody decides after the network healed: {views}")

    def _begin(self) -> None:
        """Before the first stage: everybody trains, and everybody has everybody's HAVE list."""
        for number, member in enumerate(self.network.terms.replicas):
            is_twin = member in self.network.terms.twins
            engine = self.network.engine(member, is_twin=is_twin)
            self.replicas.append(
                Replica(number=number, member=member, is_honest=not is_twin, engine=engine)
            )
        for replica in self.replicas:
            self._feed(replica, Started())
        held: list[tuple[int, Work]] = []
        while self._queue:
            number, work = self._queue.popleft()
            if isinstance(work, BuildBlock):
                held.append((number, work))
            elif isinstance(work, FIRST):
                self._receive(self.replicas[number], work)
        # The first period of a height says nothing again.
        for replica in self.replicas:
            for timer in [each for each in replica.timers if each.kind in SAID_AGAIN]:
                self._feed(replica, TimerFired(timer=timer))
            for timer in [each for each in replica.timers if each.kind in OVER]:
                del replica.timers[timer]
        self._queue = deque(held)

    def _settle(self) -> None:
        """Deliver, and let timers fire, until there is nothing more to happen in this stage."""
        while True:
            while self._queue:
                number, work = self._queue.popleft()
                self._do(self.replicas[number], work)
            due = self._due()
            if due is None:
                return
            replica, timer = due
            del replica.timers[timer.timer]
            self._feed(replica, timer)

    def _due(self) -> tuple[Replica, TimerFired] | None:
        """The timer that fires next: others before those that wait for proposals."""
        for kinds in (SOON, (TimerKind.PROPOSE,)):
            for replica in self.replicas:
                for timer, stage in replica.timers.items():
                    # A proposal is waited for until the next partition had its chance to bring it.
                    is_ripe = timer.kind in SOON or stage < self.stage or self._is_healed
                    if timer.kind in kinds and is_ripe:
                        return replica, TimerFired(timer=timer)
        return None

    # --- one replica ----------------------------------------------------------------------------

    def _do(self, replica: Replica, work: Work) -> None:
        match work:
            case BuildBlock():
                block = self.network.build(work)
                self._feed(replica, BlockBuilt(height=work.height, view=work.view, block=block))
            case CheckBlock():
                self._feed(replica, self.network.recompute(work.block))
            case _:
                self._receive(replica, work)

    def _receive(self, replica: Replica, message: Message) -> None:
        if replica.decision is not None:
            if isinstance(message, ProposalRequestMessage):
                self._answer(replica, replica.decision, message)
            return
        number, received = self.network.verify(message)
        if number in replica.heard:
            return
        replica.heard.add(number)
        self._feed(replica, received)
        if isinstance(received, UpdateReceived):
            self._feed(replica, UpdateHeld(update=received.update))

    def _answer(
        self, replica: Replica, decision: CommitBlock, message: ProposalRequestMessage
    ) -> None:
        """What a replica that decided answers with (rule P33)."""
        if message.request.statement.responder == replica.member:
            blocks = BlocksMessage(blocks=(decision.block,), certificate=decision.certificate)
            self._send(replica, message.request.signer, blocks)

    def _feed(self, replica: Replica, received: Input) -> None:
        """Give a replica an input and carry out the effects."""
        if replica.engine is None:
            return
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise ViolationError(f"liveness: stage {self.stage} never ends")
        now_ms = EPOCH_MS + self.stage * STAGE_MS
        if replica.number >= len(self.network.terms.powers):
            now_ms += TWIN_SKEW_MS
        for effect in replica.engine.step(received, now_ms=now_ms):
            self._carry_out(replica, effect)
        if replica.decision is not None:
            replica.retire()

    def _carry_out(self, replica: Replica, effect: Effect) -> None:
        match effect:
            case Publish():
                self._publish(replica, effect.message)
            case CommitBlock():
                self._decide(replica, effect)
            case _ if replica.decision is not None:
                return  # what it does at the next height is not looked at
            case Send():
                self._look_at(replica, effect.message)
                self._send(replica, effect.member, effect.message)
            case SetTimer():
                replica.timers[effect.timer] = self.stage
            case BuildBlock() | CheckBlock():
                self._queue.append((replica.number, effect))
            case Train():
                self._train(replica, effect)
            case _:
                self._judge(replica, effect)

    def _judge(self, replica: Replica, effect: Effect) -> None:
        """What an honest replica enters, and does not do: accuse another one, or stop."""
        if not replica.is_honest:
            return
        if isinstance(effect, Progress) and effect.view > 0:
            self.discipline.check_entry(replica.member, effect.height, effect.view)
        if isinstance(effect, ReportContradiction) and effect.member in self.network.terms.honest:
            raise ViolationError(f"honest member {effect.member} is accused")
        if isinstance(effect, Halt):
            raise ViolationError(f"member {replica.member} halted: {effect.reason}")

    def _train(self, replica: Replica, effect: Train) -> None:
        trained = UpdateTrained(
            height=effect.height,
            training_round=effect.training_round,
            base_model_id=effect.base_model_id,
            update_id=update_id_of(replica.member, effect, incarnation=0),
            n_elements=ELEMENTS,
        )
        self._feed(replica, trained)

    def _decide(self, replica: Replica, effect: CommitBlock) -> None:
        """Check a decision: agreement, its certificate, its block."""
        replica.decision = effect
        if not replica.is_honest:
            return
        own_id = block_id(effect.block.header)
        certificate = effect.certificate
        if self.decided not in {None, own_id}:
            raise ViolationError(f"agreement: member {replica.member} decides another block")
        self.decided = own_id
        expected = (Phase.COMMIT, 1, own_id)
        if (certificate.phase, certificate.height, certificate.block_id) != expected:
            raise ViolationError("certificate of another block decides height 1")
        self.network.check_certificate(certificate)
        self.network.audit(effect)

    # --- links ----------------------------------------------------------------------------------

    def _publish(self, replica: Replica, message: Message) -> None:
        if isinstance(message, StatusMessage):
            return  # only says whom to ask for blocks
        self._look_at(replica, message)
        if self._is_lost(message):
            return
        for other in self.replicas:
            self._emit(replica, other, message)

    def _send(self, replica: Replica, member: int, message: Message) -> None:
        for other in self.replicas:
            if other.member == member:
                self._emit(replica, other, message)

    def _emit(self, source: Replica, target: Replica, message: Message) -> None:
        # A node that hears of another one with its key stops: twins do not hear each other.
        is_other = source.member != target.member
        if is_other and (source.number in self._side) == (target.number in self._side):
            self._queue.append((target.number, message))

    def _is_lost(self, message: Message) -> bool:
        """Whether nobody hears this: COMMITs are heard under the next partition, said again."""
        if self._is_healed or self._is_burst:
            return False
        is_commit = isinstance(message, VoteMessage) and (
            message.vote.statement.phase is Phase.COMMIT
        )
        return is_commit or isinstance(message, CertificateMessage)

    def _look_at(self, replica: Replica, message: Message) -> None:
        """Judge what a replica says."""
        for signed in statements(message):
            if signed.signer == replica.member:
                self.discipline.on_statement(signed)
        for certificate in shown_certificates(message):
            if replica.is_honest:
                self.network.check_certificate(certificate)
            self.discipline.on_certificate(certificate)
