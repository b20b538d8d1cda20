"""One engine on a bench, or a few in a cluster, with everything around them played by the test.

`Bench` drives a single engine with crafted inputs and shows its effects as short lines. `Cluster`
lets several engines talk over a perfect network in virtual time, except for what a test changes.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from consensus.effects import (
    AnswerBlocks,
    AnswerCertificate,
    BlockBuilt,
    BlockChecked,
    BuildBlock,
    CertificateReceived,
    CheckBlock,
    CommitBlock,
    Effect,
    Halt,
    HaveReceived,
    Input,
    Notice,
    Persist,
    ProposalReceived,
    Publish,
    ReportContradiction,
    SaveProposal,
    Send,
    SetTimer,
    Started,
    Timer,
    TimerFired,
    TimerKind,
    Train,
    UpdateHeld,
    UpdateReceived,
    UpdateTrained,
    VoteReceived,
)
from consensus.engine import Engine
from consensus.messages import (
    BlocksMessage,
    BlocksRequestMessage,
    CertificateMessage,
    EntryProofMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    ProposalRequestMessage,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
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
from ledger.certificates import make_certificate
from ledger.election import schedule
from ledger.genesis import Contract
from ledger.inclusion import included
from ledger.keys import Signed, StatementT, Verified, sign, verify
from ledger.records import (
    FRESH,
    NIL,
    Block,
    BlockKind,
    Flag,
    Phase,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    Vote,
    block_id,
)
from ledger.state import State, initial_state
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    digest,
    have,
    stub_chain,
    stub_keys,
    update,
)

NOW_MS = 1_700_000_000_000
PREPARE, COMMIT = Phase.PREPARE, Phase.COMMIT


def equal_contract(n: int = 4, *, training_rounds: int = 1_000_000) -> Contract:
    """Members with equal powers."""
    return contract(n, samples=[100] * n, training_rounds=training_rounds)


class Bench:
    """One engine at the height after `chain`; the test speaks for all others.

    Args:
        chain: What is decided already.
        leads: The first view that the engine's member leads; `order[leads]` is its number.
        record: The signer's record to start from.
        proposals: Saved proposals to start from.
        member: Its number, instead of `leads`.
    """

    def __init__(
        self,
        *,
        chain: Chain | None = None,
        leads: int = 3,
        record: SafetyRecord = INITIAL_RECORD,
        proposals: Iterable[tuple[Signed[Proposal], Block]] = (),
        member: int | None = None,
    ) -> None:
        self.chain = chain or stub_chain(0, of=equal_contract())
        self.contract = self.chain.contract
        self.state = self.chain.state
        self.height = self.state.height + 1
        self.order = schedule(self.contract, self.state)
        self.member = self.order[leads] if member is None else member
        self.others = tuple(each for each in sorted(self.order) if each != self.member)
        self.keys = self.chain.keys
        self.now_ms = NOW_MS
        self.record = record
        self.saved: list[tuple[Signed[Proposal], Block]] = list(proposals)
        self.names: dict[bytes, str] = {NIL: "nil"}
        self.effects: tuple[Effect, ...] = ()
        self.history: list[Effect] = []
        self.engine = self.boot()

    def boot(self) -> Engine:
        """Make an engine from what is durable."""
        signer = Signer(
            key=self.keys[self.member],
            member=self.member,
            chain_id=self.state.chain_id,
            record=self.record,
        )
        return Engine(
            contract=self.contract,
            state=self.state,
            tip_certificate=self.chain.certificate,
            member=self.member,
            signer=signer,
            scheme=STUB_SCHEME,
            proposals=tuple(self.saved),
        )

    def restart(self) -> tuple[str, ...]:
        """Lose everything but what is durable, and start again."""
        self.engine = self.boot()
        return self.start()

    # --- inputs ---------------------------------------------------------------------------------

    def step(self, happened: Input) -> tuple[str, ...]:
        """Give the engine an input; return its effects as lines, without timers and progress."""
        self.effects = self.engine.step(happened, now_ms=self.now_ms)
        self.history += self.effects
        for effect in self.effects:
            if isinstance(effect, Persist):
                self.record = effect.record
            elif isinstance(effect, SaveProposal):
                self.saved.append((effect.proposal, effect.block))
        lines = (self.shown(effect) for effect in self.effects)
        return tuple(line for line in lines if line)

    def start(self) -> tuple[str, ...]:
        return self.step(Started())

    def fire(self, kind: TimerKind, view: int = 0) -> tuple[str, ...]:
        return self.step(TimerFired(timer=Timer(kind=kind, height=self.engine.height, view=view)))

    def vote(
        self, member: int, phase: Phase, view: int, block: bytes, valid_view: int = FRESH
    ) -> tuple[str, ...]:
        signed = self.signed_vote(member, phase, view, block, valid_view)
        return self.step(VoteReceived(vote=self.verified(signed)))

    def votes(
        self,
        phase: Phase,
        view: int,
        block: bytes,
        *,
        members: Iterable[int] | None = None,
        valid_view: int = FRESH,
    ) -> tuple[str, ...]:
        """Votes of several members, all others unless told; the lines of all steps together."""
        lines: tuple[str, ...] = ()
        for member in self.others if members is None else members:
            lines += self.vote(member, phase, view, block, valid_view)
        return lines

    def have(self, member: int, trainers: Iterable[int] = ()) -> tuple[str, ...]:
        held = [self.update(trainer) for trainer in trainers]
        return self.step(
            HaveReceived(have=self.verified(have(self.state, member, self.keys[member], held)))
        )

    def hold(self, *trainers: int) -> tuple[str, ...]:
        lines: tuple[str, ...] = ()
        for trainer in trainers:
            if trainer == self.member:
                lines += self.train()
            else:
                lines += self.step(UpdateHeld(update=self.verified(self.update(trainer))))
        return lines

    def train(self) -> tuple[str, ...]:
        """The own training ends; its header is the one that `block` carries."""
        header = self.update(self.member).statement
        return self.step(
            UpdateTrained(
                height=header.height,
                training_round=header.training_round,
                base_model_id=header.base_model_id,
                update_id=header.update_id,
                n_elements=header.n_elements,
            )
        )

    def propose(
        self, block: Block, view: int, certificate: QuorumCertificate | None = None
    ) -> tuple[str, ...]:
        proposal = self.signed_proposal(block, view, certificate)
        return self.step(
            ProposalReceived(proposal=self.verified(proposal), block=block, certificate=certificate)
        )

    def check(self, block: Block, *, is_valid: bool = True) -> tuple[str, ...]:
        return self.step(
            BlockChecked(
                height=block.header.height,
                block_id=block_id(block.header),
                is_valid=is_valid,
                reason="" if is_valid else "wrong aggregate",
            )
        )

    def certify(self, certificate: QuorumCertificate) -> tuple[str, ...]:
        return self.step(CertificateReceived(certificate=certificate))

    def propose_and_check(self, block: Block, view: int = 0) -> tuple[str, ...]:
        return self.propose(block, view) + self.check(block)

    # --- values ---------------------------------------------------------------------------------

    def block(self, name: str, *, view: int = 0, listing: Iterable[int] | None = None) -> Block:
        """A valid block of a view, shown under `name`; other `listing`s give other blocks."""
        block = self.chain.build(view=view, listing=listing)
        self.names[block_id(block.header)] = name
        return block

    def update(self, trainer: int) -> Signed[UpdateHeader]:
        return update(self.contract, self.state, trainer, self.keys[trainer])

    def verified(self, signed: Signed[StatementT]) -> Verified[StatementT]:
        key = self.keys[signed.signer].public_key
        return verify(signed, key, chain_id=self.state.chain_id, scheme=STUB_SCHEME)

    def sign(self, statement: StatementT, member: int) -> Signed[StatementT]:
        return sign(statement, self.keys[member], signer=member, chain_id=self.state.chain_id)

    def signed_vote(
        self, member: int, phase: Phase, view: int, block: bytes, valid_view: int = FRESH
    ) -> Signed[Vote]:
        vote = Vote(
            phase=phase, height=self.height, view=view, valid_view=valid_view, block_id=block
        )
        return self.sign(vote, member)

    def signed_proposal(
        self, block: Block, view: int, certificate: QuorumCertificate | None = None
    ) -> Signed[Proposal]:
        proposal = Proposal(
            height=self.height,
            view=view,
            valid_view=FRESH if certificate is None else certificate.view,
            block_id=block_id(block.header),
        )
        return self.sign(proposal, self.order[view % len(self.order)])

    def certificate(
        self,
        phase: Phase,
        view: int,
        block: bytes,
        *,
        members: Iterable[int] | None = None,
        valid_view: int = FRESH,
    ) -> QuorumCertificate:
        """A certificate by the other members unless told."""
        signers = self.others if members is None else members
        votes = [self.signed_vote(each, phase, view, block, valid_view) for each in signers]
        return make_certificate(votes, self.state.validators)

    # --- effects --------------------------------------------------------------------------------

    def name(self, of: bytes) -> str:
        return self.names.get(of, of.hex()[:8])

    def of_type(self, kind: type[Effect]) -> list[Effect]:
        """The effects of a kind in the last step."""
        return [each for each in self.effects if isinstance(each, kind)]

    def timers(self) -> dict[tuple[TimerKind, int], int]:
        """The timers set in the last step: (kind, view) to delay."""
        return {
            (each.timer.kind, each.timer.view): each.delay_ms
            for each in self.effects
            if isinstance(each, SetTimer)
        }

    def shown(self, effect: Effect) -> str:
        """One line for what others or the disk notice; nothing for timers and progress."""
        match effect:
            case Publish():
                return self.shown_message(effect.message)
            case Send():
                return f"to {effect.member}: {self.shown_message(effect.message)}"
            case SaveProposal() | CheckBlock() | CommitBlock():
                verb = {SaveProposal: "save", CheckBlock: "check", CommitBlock: "commit"}
                return f"{verb[type(effect)]} {self.name(block_id(effect.block.header))}"
            case Notice():
                return "error" if effect.is_error else "notice"
            case _:
                return _shown_other(effect)

    def shown_message(self, message: Message) -> str:
        match message:
            case VoteMessage():
                vote = message.vote.statement
                valid = "" if vote.valid_view == FRESH else f" valid {vote.valid_view}"
                return f"{vote.phase.name} {vote.view} {self.name(vote.block_id)}{valid}"
            case ProposalMessage():
                proposal = message.proposal.statement
                return f"PROPOSAL {proposal.view} {self.name(proposal.block_id)}"
            case CertificateMessage():
                certificate = message.certificate
                name = self.name(certificate.block_id)
                return f"certificate {certificate.phase.name} {certificate.view} {name}"
            case EntryProofMessage():
                return f"entry proof {message.view} of {len(message.votes)}"
            case _:
                return _shown_other_message(message)


def _shown_other(effect: Effect) -> str:
    lines = {
        Persist: "persist",
        BuildBlock: "build {0.kind.name} {0.view}",
        Train: "train {0.training_round}",
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
        ProposalRequestMessage: "ask {0.request.statement.responder} for a block",
    }
    if isinstance(message, HaveMessage):
        return f"HAVE {len(message.have.statement.entries)}"
    return lines[type(message)].format(message)


# --- several engines ------------------------------------------------------------------------------

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
    """

    def __init__(
        self,
        of: Contract,
        *,
        filter_messages: Filter = deliver_all,
        down: Iterable[int] = (),
        lying_builders: Iterable[int] = (),
    ) -> None:
        self.contract = of
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
        """Run until every node has committed `height`; fail when that takes too long."""
        while any(len(host.blocks) < height for host in self.hosts.values()):
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
        happened = verify_message(
            message, contract=self.contract, chain_id=self.chain_id, scheme=STUB_SCHEME
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

    def built(self, host: Host, effect: BuildBlock) -> BlockBuilt:
        block = self.block_of(host.states[-1], effect, is_lie=host.member in self.lying)
        return BlockBuilt(height=effect.height, view=effect.view, block=block)

    def block_of(self, state: State, effect: BuildBlock, *, is_lie: bool = False) -> Block:
        results = unchanged_results(state)
        if effect.kind is BlockKind.AGGREGATE:
            weighted = expected_weights(self.contract, state, effect.haves, effect.updates)
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
        )
        return build_block(self.contract, state, draft)

    def checked(self, host: Host, block: Block) -> BlockChecked:
        """Recompute the aggregate of a block, as every voter does (rule P13)."""
        is_valid = True
        if block.header.kind is BlockKind.AGGREGATE:
            state = host.states[block.header.height - 1]
            counted = included(self.contract, state, block.haves, block.updates)
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
