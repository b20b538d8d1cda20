"""Several engines that talk over a perfect network in virtual time, but for what a test changes."""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

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
    Publish,
    ReportContradiction,
    SaveProposal,
    Send,
    SetTimer,
    Started,
    Timer,
    TimerFired,
    Train,
    UpdateHeld,
    UpdateReceived,
    UpdateTrained,
)
from consensus.engine import Engine
from consensus.judging import Evaluate, Evaluated
from consensus.messages import (
    BlocksMessage,
    CertificateMessage,
    Message,
)
from consensus.record import INITIAL_RECORD, SafetyRecord
from consensus.signer import Signer
from consensus.verification import verify_message
from ledger.building import (
    Draft,
    aggregate_results,
    build_block,
    expected_weights,
    unchanged_results,
)
from ledger.genesis import Contract
from ledger.inclusion import included
from ledger.keys import Signed
from ledger.records import (
    Block,
    BlockKind,
    Flag,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    block_id,
)
from ledger.state import State, initial_state
from tests.support.consensus.bench import NOW_MS
from tests.support.ledger import (
    STUB_SCHEME,
    digest,
    stub_keys,
)

Figures = Callable[[int], Callable[[bytes], int] | None]
"""Member -> (model id -> what its rows say); None where it says nothing."""
Filter = Callable[[int, int, Message], Iterable[Message]]
"""(sender, receiver, message) -> what arrives."""


def deliver_all(_sender: int, _receiver: int, message: Message) -> Iterable[Message]:
    """A perfect network."""
    return (message,)


@dataclass(slots=True)
class Host:
    """What a node of the cluster keeps: its engine, and what is durable."""

    member: int
    record: SafetyRecord = INITIAL_RECORD
    engine: Engine | None = None
    blocks: list[Block] = field(default_factory=list)
    certificates: list[QuorumCertificate] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    proposals: list[tuple[Signed[Proposal], Block]] = field(default_factory=list)
    timers: dict[Timer, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    contradictions: list[int] = field(default_factory=list)
    halted: str = ""


class Cluster:
    """Engines of one network in virtual time; bodies are always there as soon as their header is.

    Args:
        of: The contract.
        filter_messages: What becomes of each message on each link.
        down: Members that never start.
        lying_builders: Members whose blocks hold a wrong aggregate.
        figures: What each member's own rows say of a model; None for an evaluation that fails.
    """

    def __init__(
        self,
        of: Contract,
        *,
        filter_messages: Filter = deliver_all,
        down: Iterable[int] = (),
        lying_builders: Iterable[int] = (),
        figures: Figures | None = None,
    ) -> None:
        self.contract = of
        self.figures = figures
        self.dropping: frozenset[int] = frozenset()
        self.filter = filter_messages
        self.lying = frozenset(lying_builders)
        self.keys = stub_keys(of)
        self.now_ms = 0
        self.said: list[tuple[int, Message]] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        first = initial_state(of)
        self.chain_id = first.chain_id
        self.hosts: Mapping[int, Host] = {
            member: Host(member=member, states=[first])
            for member in range(len(of.members))
            if member not in set(down)
        }
        for member in self.hosts:
            self.boot(member)

    def boot(self, member: int) -> None:
        """Start a node from what is durable."""
        host = self.hosts[member]
        host.timers.clear()
        host.engine = Engine(
            contract=self.contract,
            state=host.states[-1],
            tip_certificate=host.certificates[-1] if host.certificates else None,
            member=member,
            signer=Signer(
                key=self.keys[member],
                member=member,
                chain_id=self.chain_id,
                record=host.record,
            ),
            scheme=STUB_SCHEME,
            proposals=tuple(host.proposals),
        )
        self.at(0, lambda: self.feed(host, Started()))

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ms + delay_ms, next(self._order), action))

    def run_until(self, height: int, *, limit_ms: int = 600_000) -> None:
        """Run until every node that did not stop has committed `height`, within a limit."""
        while any(len(host.blocks) < height for host in self.hosts.values() if not host.halted):
            assert self._queue, "nothing can happen any more"
            self.now_ms, _, action = heapq.heappop(self._queue)
            heights = {host.member: len(host.blocks) for host in self.hosts.values()}
            assert self.now_ms < limit_ms, f"no progress: {heights}"
            action()

    def run_for(self, duration_ms: int) -> None:
        """Run for some virtual time."""
        end = self.now_ms + duration_ms
        while self._queue and self._queue[0][0] <= end:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
        self.now_ms = end

    def feed(self, host: Host, happened: Input) -> None:
        if host.engine is None or host.halted:
            return
        for effect in host.engine.step(happened, now_ms=NOW_MS + self.now_ms):
            self.carry_out(host, effect)

    def carry_out(self, host: Host, effect: Effect) -> None:
        match effect:
            case Persist():
                host.record = effect.record
            case SaveProposal():
                host.proposals.append((effect.proposal, effect.block))
            case CommitBlock():
                host.blocks.append(effect.block)
                host.certificates.append(effect.certificate)
                host.states.append(effect.state)
            case Publish():
                for member in self.hosts:
                    self.post(host.member, member, effect.message)
            case Send():
                self.post(host.member, effect.member, effect.message)
            case SetTimer():
                self.set_timer(host, effect)
            case Notice() | ReportContradiction() | Halt():
                self.write_down(host, effect)
            case _:
                self.work(host, effect)

    def write_down(self, host: Host, effect: Notice | ReportContradiction | Halt) -> None:
        match effect:
            case Notice():
                host.notices.append(effect.text)
            case ReportContradiction():
                host.contradictions.append(effect.member)
            case Halt():
                host.halted = effect.reason

    def work(self, host: Host, effect: Effect) -> None:
        """The host's part: training, building, checking, answering."""
        match effect:
            case Train():
                self.at(100, lambda: self.trained(host, effect))
            case Evaluate():
                self.at(30, lambda: self.evaluate(host, effect))
            case BuildBlock():
                self.at(5, lambda: self.feed(host, self.built(host, effect)))
            case CheckBlock():
                self.at(5, lambda: self.feed(host, self.checked(host, effect.block)))
            case AnswerBlocks():
                first = effect.from_height - 1
                blocks = tuple(host.blocks[first : first + 64])
                last = host.certificates[first + len(blocks) - 1]
                answer = BlocksMessage(blocks=blocks, certificate=last)
                self.post(host.member, effect.member, answer)
            case AnswerCertificate():
                certificate = host.certificates[effect.height - 1]
                self.post(host.member, effect.member, CertificateMessage(certificate=certificate))
            case _:
                pass

    def post(self, sender: int, receiver: int, message: Message) -> None:
        self.said.append((sender, message))
        target = self.hosts.get(receiver)
        if target is None:
            return
        for arriving in self.filter(sender, receiver, message):
            self.at(10, lambda arriving=arriving: self.receive(target, arriving))  # type: ignore[misc]

    def receive(self, host: Host, message: Message) -> None:
        assert host.engine is not None
        happened = verify_message(
            message, contract=self.contract, state=host.engine.state, scheme=STUB_SCHEME
        )
        self.feed(host, happened)
        if isinstance(happened, UpdateReceived):
            self.feed(host, UpdateHeld(update=happened.update))

    def set_timer(self, host: Host, effect: SetTimer) -> None:
        token = next(self._order)
        host.timers[effect.timer] = token

        def fire() -> None:
            if host.timers.get(effect.timer) == token:
                self.feed(host, TimerFired(timer=effect.timer))

        self.at(effect.delay_ms, fire)

    def trained(self, host: Host, effect: Train) -> None:
        self.feed(
            host,
            UpdateTrained(
                height=effect.height,
                training_round=effect.training_round,
                base_model_id=effect.base_model_id,
                update_id=digest(f"body {host.member} {effect.training_round}"),
                n_elements=self.contract.model.n_elements,
            ),
        )

    def evaluate(self, host: Host, effect: Evaluate) -> None:
        figures = self.figures and self.figures(host.member)
        if figures is None:
            return
        self.feed(
            host,
            Evaluated(
                height=effect.height,
                model_id=effect.model_id,
                best_id=effect.best_id,
                value=figures(effect.model_id),
                best_value=figures(effect.best_id),
            ),
        )

    def built(self, host: Host, effect: BuildBlock) -> BlockBuilt:
        if host.member in self.dropping:
            effect = replace(effect, metrics=())
        block = self.block_of(host.states[-1], effect, is_lie=host.member in self.lying)
        return BlockBuilt(height=effect.height, view=effect.view, block=block)

    def block_of(self, state: State, effect: BuildBlock, *, is_lie: bool = False) -> Block:
        results = unchanged_results(state)
        if effect.kind is BlockKind.AGGREGATE:
            weighted = expected_weights(
                self.contract, state, effect.haves, effect.updates, effect.evidence
            )
            model = model_of([update for update, _ in weighted], is_lie=is_lie)
            flags = [Flag.REGULAR] * len(weighted)
            results = aggregate_results(
                weighted, flags, model_id=model, optimizer_id=state.optimizer_id
            )
        draft = Draft(
            view=effect.view,
            kind=effect.kind,
            time_ms=effect.time_ms,
            haves=effect.haves,
            updates=effect.updates,
            last_certificate=effect.last_certificate,
            results=results,
            evidence=effect.evidence,
            metrics=effect.metrics,
            operations=effect.operations,
            readies=effect.readies,
        )
        return build_block(self.contract, state, draft)

    def checked(self, host: Host, block: Block) -> BlockChecked:
        """Recompute the aggregate of a block, as every voter does (rule P13)."""
        is_valid = True
        if block.header.kind is BlockKind.AGGREGATE:
            state = host.states[block.header.height - 1]
            counted = included(self.contract, state, block.haves, block.updates, block.evidence)
            is_valid = block.header.results.model_id == model_of(counted)
        return BlockChecked(
            height=block.header.height,
            block_id=block_id(block.header),
            is_valid=is_valid,
            reason="" if is_valid else "the aggregate is another one",
        )


def model_of(updates: Iterable[Signed[UpdateHeader]], *, is_lie: bool = False) -> bytes:
    """Stands for the model that updates make."""
    bodies = b"".join(each.statement.update_id for each in updates)
    return digest(f"{'lie' if is_lie else 'model'} {bodies.hex()}")
