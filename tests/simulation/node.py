"""A simulated node: the production engine and signer, and the least host that carries out effects.

Bodies are modelled by their ids, training and recomputation by delays. A crash may come between any
two effects; what survives it is on the `Disk`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from consensus.change_inputs import KeepOperations
from consensus.effects import (
    AnswerBlocks,
    AnswerCertificate,
    BlockBuilt,
    BlockChecked,
    BuildBlock,
    CheckBlock,
    CommitBlock,
    Effect,
    Halt,
    Input,
    Notice,
    Persist,
    Progress,
    Publish,
    ReportContradiction,
    SaveEvidence,
    SaveProposal,
    Send,
    SetTimer,
    Started,
    Stored,
    Timer,
    TimerFired,
    Train,
    UpdateReceived,
    UpdateTrained,
)
from consensus.engine import Engine
from consensus.judging import Evaluate
from consensus.messages import CertificateMessage, Message, UpdateMessage
from consensus.signer import Signer
from ledger.genesis import Contract
from ledger.membership import contract_in_force
from ledger.records import Block, block_id
from ledger.state import State
from tests.simulation.aggregate import needed_bodies
from tests.simulation.bodies import Bodies
from tests.simulation.contracts import ELEMENTS, EPOCH_MS, member_key
from tests.simulation.delays import TRAIN_MS, training_ms
from tests.simulation.describe import describe
from tests.simulation.disk import Disk, answer_from
from tests.simulation.faults import stumble
from tests.simulation.packets import BodyPull, BodyPush, Packet, ViolationError

if TYPE_CHECKING:
    from tests.simulation.world import World

COMPUTE_MS = 30
RESTART_MS_MAX = 6_000


class Node:
    """One member: its disk, its engine while it is up, and the host between them."""

    def __init__(self, world: "World", member: int, disk: Disk) -> None:
        self.world = world
        self.member = member
        self.disk = disk
        self.key = member_key(world.settings, member)
        self.skew_ms = world.settings.skew_ms(member)
        self.is_straggler = member < world.settings.stragglers
        self.engine: Engine | None = None
        self.timers: dict[Timer, int] = {}
        self.incarnation = 0
        self.bodies = Bodies(self)
        self.fuse: int | None = None
        self.paused_until = 0
        self.is_gone = False
        self.has_lost_state = False

    @property
    def height(self) -> int:
        """Height of the last block on the disk."""
        return self.disk.state.height

    @property
    def view(self) -> int:
        """View of the height in work; 0 while the node is down."""
        return 0 if self.engine is None else self.engine.view

    def start(self) -> None:
        """Bring the node up from what its disk holds."""
        self.incarnation += 1
        self.timers.clear()
        self.bodies = Bodies(self)
        state = self.disk.state
        signer = Signer(
            key=self.key,
            member=self.member,
            chain_id=self.world.chain_id,
            record=self.disk.load_record(),
        )
        self.engine = Engine(
            contract=self.world.contract,
            state=state,
            tip_certificate=self.disk.certificate_at(state.height),
            member=self.member,
            signer=signer,
            scheme=self.world.scheme,
            proposals=self.disk.proposals(state.height + 1),
            evidence=self.disk.evidence(),
            operations=self.disk.operations,
        )
        self.feed(Started())

    def crash(self) -> None:
        """Lose everything that is not on the disk; come back later."""
        if self.engine is None:
            return
        self.world.note(f"{self.member} CRASH")
        self.world.counts["crashes"] += 1
        self.engine = None
        self.fuse = None
        self.incarnation += 1
        self.disk.crash()
        delay = 50 + int(self.world.rng.random() * RESTART_MS_MAX)
        self.world.at(delay, self.restart, self.incarnation)

    def restart(self, incarnation: int) -> None:
        """Come back, unless something else brought the node up before."""
        if incarnation == self.incarnation:
            self.world.note(f"{self.member} RESTART")
            self.start()

    def mend(self) -> None:
        """Healing: no more crashes and pauses; a node that is down comes back at once."""
        self.fuse = None
        self.paused_until = 0
        if self.engine is None and not self.is_gone:
            self.start()

    def leave(self) -> None:
        """Go down and never come back."""
        self.is_gone = True
        self.engine = None
        self.incarnation += 1

    def now_ms(self) -> int:
        """The node's own clock."""
        return EPOCH_MS + self.world.now + self.skew_ms

    def later(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Let `action` happen later, unless this incarnation has ended by then."""
        self.world.at(delay_ms, self._if_alive, self.incarnation, action, *arguments)

    def _if_alive(self, incarnation: int, action: Callable[..., None], *arguments: object) -> None:
        if incarnation != self.incarnation:
            return
        if self.world.now < self.paused_until:
            self.world.at(
                self.paused_until - self.world.now, self._if_alive, incarnation, action, *arguments
            )
            return
        action(*arguments)

    def feed(self, received: Input) -> None:
        """Give the engine one input and carry out its effects in order."""
        if self.engine is None:
            return
        for effect in self.order(self.engine.step(received, now_ms=self.now_ms())):
            if self.fuse is not None:
                if self.fuse == 0:
                    self.crash()
                    return
                self.fuse -= 1
            incarnation = self.incarnation
            self.carry_out(effect)
            if incarnation != self.incarnation:
                return

    def order(self, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        """The order in which effects are carried out: as given."""
        return effects

    def receive(self, source: int, packet: Packet) -> None:
        """Take one packet from the network."""
        if self.engine is None:
            return
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until - self.world.now, self.receive, source, packet)
            return
        if self.world.trace is not None:
            self.world.show(f"{source}->{self.member} {describe(packet)}")
        match packet:
            case BodyPush():
                self.bodies.store(packet)
            case BodyPull():
                self.bodies.give(source, packet.body_id)
            case _:
                self.receive_message(packet)

    def receive_message(self, message: Message) -> None:
        """Check a message and hand it to the engine."""
        verified = self.world.verify(message, self.state)
        if verified is not None:
            self.feed(verified)
        if isinstance(verified, UpdateReceived):
            self.bodies.await_update(verified.update)

    def carry_out(self, effect: Effect) -> None:
        """Do what one effect asks for."""
        self.world.note_effect(self.member, effect)
        match effect:
            case Persist() | SaveProposal() | SaveEvidence() | KeepOperations() | CommitBlock():
                self.store(effect)
            case Publish() | Send() | AnswerBlocks() | AnswerCertificate():
                self.tell(effect)
            case SetTimer():
                self.set_timer(effect)
            case Train() | Evaluate() | BuildBlock() | CheckBlock():
                self.work(effect)
            case ReportContradiction():
                self.world.checkers.on_contradiction(self, effect)
            case Notice() | Progress():
                if self.world.trace is not None:
                    self.world.show(f"{self.member} {effect}")
                self.world.checkers.on_display(self, effect)
                stumble(self, effect)
            case Halt():
                self.halt(effect)
            case _:
                assert_never(effect)

    def store(self, effect: Stored) -> None:
        """Make something durable."""
        match effect:
            case Persist():
                self.disk.save_record(effect.record)
            case SaveProposal():
                self.disk.save_proposal(effect.proposal, effect.block)
            case SaveEvidence():
                self.disk.save_evidence(effect.member, effect.evidence)
            case KeepOperations():
                self.disk.operations = effect.operations
            case CommitBlock():
                self.world.note(f"{effect.state.height} {effect.state.tip_id.hex()}")
                self.world.checkers.on_commit(self, effect)
                self.disk.append(effect.block, effect.certificate, effect.state)
                self.world.note_height(self.member, effect.state.height)

    def tell(self, effect: Publish | Send | AnswerBlocks | AnswerCertificate) -> None:
        """Send something to all or to one."""
        self.world.counts["answered"] += isinstance(effect, AnswerBlocks | AnswerCertificate)
        match effect:
            case Publish():
                self.publish(effect.message)
            case Send():
                self.send(effect.member, effect.message)
            case AnswerBlocks():
                self.answer_blocks(effect)
            case AnswerCertificate():
                certificate = self.disk.certificate_at(effect.height)
                if certificate is not None:
                    self.send(effect.member, CertificateMessage(certificate=certificate))

    def work(self, effect: Train | Evaluate | BuildBlock | CheckBlock) -> None:
        """Begin something that takes time and may first need bodies."""
        match effect:
            case Train():
                ids = {effect.base_model_id}
                self.bodies.require(
                    ids, lambda: self.later(training_ms(self), self.trained, effect)
                )
            case Evaluate():
                ids = {effect.model_id, effect.best_id}
                self.bodies.require(ids, lambda: self.later(TRAIN_MS, self.evaluate, effect))
            case BuildBlock():
                ids = needed_bodies(self.contract, self.state, effect)
                self.bodies.require(ids, lambda: self.build(effect))
            case CheckBlock():
                ids = needed_bodies(self.contract, self.state, effect.block)
                self.bodies.require(ids, lambda: self.check(effect.block))

    @property
    def state(self) -> State:
        """State after the last block of the running engine."""
        assert self.engine is not None
        return self.engine.state

    @property
    def contract(self) -> Contract:
        """The contract in force for the height in work."""
        return contract_in_force(self.world.contract, self.state)

    def halt(self, effect: Halt) -> None:
        """No honest node may ever find that going on would be unsafe."""
        raise ViolationError(f"member {self.member} halted: {effect.reason}")

    def publish(self, message: Message) -> None:
        """Send to everybody, and to oneself where the broker echoes."""
        self.world.checkers.on_said(self, message)
        for target in range(len(self.world.nodes)):
            if target != self.member or self.world.settings.has_echo:
                self.emit(target, message)

    def send(self, target: int, message: Message) -> None:
        """Send to one member."""
        self.world.checkers.on_said(self, message)
        self.emit(target, message)

    def emit(self, target: int, message: Message) -> None:
        """Put a message on one link; an own update's body goes with its first header."""
        self.world.send(self.member, target, message)
        if isinstance(message, UpdateMessage) and message.update.signer == self.member:
            self.bodies.push_once(target, message.update.statement.update_id)

    def gives_body(self, _: int, body_id: bytes) -> bool:
        """Whether a body goes to a member: it does if it is here."""
        return body_id in self.disk.bodies

    def answer_blocks(self, effect: AnswerBlocks) -> None:
        """Send a stretch of the ledger."""
        answer = answer_from(self.disk, effect.from_height)
        if answer is not None:
            self.world.counts["caught_up"] += 1
            self.send(effect.member, answer)

    def set_timer(self, effect: SetTimer) -> None:
        """Start a timer anew."""
        token = self.timers.get(effect.timer, 0) + 1
        self.timers[effect.timer] = token
        self.later(effect.delay_ms, self.fire, effect.timer, token)

    def fire(self, timer: Timer, token: int) -> None:
        """Fire a timer that was not set again since."""
        if self.timers.get(timer) == token:
            del self.timers[timer]
            self.feed(TimerFired(timer=timer))

    def trained(self, effect: Train) -> None:
        """The own training ended; its body is durable."""
        update_id = self.world.substance.train(self, effect)
        self.feed(
            UpdateTrained(
                height=effect.height,
                training_round=effect.training_round,
                base_model_id=effect.base_model_id,
                update_id=update_id,
                n_elements=ELEMENTS,
            )
        )

    def evaluate(self, asked: Evaluate) -> None:
        """The own rows have been asked about two models."""
        self.feed(self.world.substance.evaluate(self, asked))

    def build(self, effect: BuildBlock) -> None:
        """Aggregate and build, which takes a moment."""
        if self.state.height + 1 != effect.height:
            return
        block = self.world.substance.build(self, effect)
        self.later(1 + int(self.world.rng.random() * COMPUTE_MS), self.built, effect, block)

    def built(self, effect: BuildBlock, block: Block) -> None:
        """The block and its model are durable."""
        self.world.substance.keep_model(self, block)
        self.feed(BlockBuilt(height=effect.height, view=effect.view, block=block))

    def check(self, block: Block) -> None:
        """Recompute a block, which takes a moment."""
        if self.state.height + 1 == block.header.height:
            self.later(1 + int(self.world.rng.random() * COMPUTE_MS), self.checked, block)

    def checked(self, block: Block) -> None:
        """Report what the recomputation found; a right model is durable by then."""
        if self.state.height + 1 != block.header.height:
            return
        is_valid = self.world.substance.recomputes(self, block)
        if is_valid:
            self.world.substance.keep_model(self, block)
        self.feed(
            BlockChecked(
                height=block.header.height,
                block_id=block_id(block.header),
                is_valid=is_valid,
                reason="" if is_valid else "the results differ from those recomputed here",
            )
        )
