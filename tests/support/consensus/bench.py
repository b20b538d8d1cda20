"""One engine on a bench: crafted inputs go in, its effects come out as short lines."""

from collections.abc import Iterable

from consensus.change_inputs import KeepOperations
from consensus.effects import (
    BlockChecked,
    CertificateReceived,
    Effect,
    HaveReceived,
    Input,
    Persist,
    ProposalReceived,
    Publish,
    SaveEvidence,
    SaveProposal,
    SetTimer,
    Started,
    StatementsShown,
    Timer,
    TimerFired,
    TimerKind,
    UpdateHeld,
    UpdateTrained,
    VoteReceived,
)
from consensus.engine import Engine
from consensus.messages import (
    Statements,
    StatementsAnswer,
    StatementsRequestMessage,
    statements_hash,
)
from consensus.record import INITIAL_RECORD, SafetyRecord, SlotKind
from consensus.signer import Signer
from ledger.certificates import make_certificate
from ledger.election import schedule
from ledger.genesis import Contract
from ledger.keys import Signed, StatementT, Verified, sign, verify
from ledger.records import (
    FRESH,
    NIL,
    Block,
    Evidence,
    Phase,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    Vote,
    block_id,
)
from tests.support.consensus.messages import shown
from tests.support.ledger import (
    STUB_SCHEME,
    Chain,
    contract,
    have,
    stub_chain,
    update,
)

NOW_MS = 1_700_000_000_000
ASKS = "ask all for own statements"
NOTHING = Statements(updates=(), haves=(), proposals=(), votes=(), metrics=(), certificates=())
PREPARE, COMMIT = Phase.PREPARE, Phase.COMMIT


def equal_contract(n: int = 4, *, training_rounds: int = 1_000_000) -> Contract:
    """Members with equal powers."""
    return contract(n, samples=[100] * n, training_rounds=training_rounds)


def equal_chain(length: int, *, silent: Iterable[int] = ()) -> Chain:
    """A chain of members with equal powers, of whom some never signed anything."""
    made = stub_chain(0, of=equal_contract())
    speaking = [each for each in range(len(made.keys)) if each not in set(silent)]
    for _ in range(length):
        made.add(made.build(listing=speaking, trainers=speaking), signing=speaking)
    return made


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
        self.evidence: dict[int, Evidence] = {}
        self.lost_updates: tuple[bytes, ...] = ()
        self.kept = KeepOperations(operations=())
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
            evidence=tuple(self.evidence.values()),
            lost_updates=self.lost_updates,
            operations=self.kept.operations,
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
            elif isinstance(effect, SaveEvidence):
                self.evidence[effect.member] = effect.evidence
            elif isinstance(effect, SaveProposal):
                self.saved.append((effect.proposal, effect.block))
            elif isinstance(effect, KeepOperations):
                self.kept = effect
        lines = (self.shown(effect) for effect in self.effects)
        return tuple(line for line in lines if line)

    def follow(self, block: Block) -> None:
        """Go on at the height after a block that the engine decided."""
        self.names[block_id(block.header)] = f"D{block.header.height}"
        self.chain.add(block, signing=self.others)
        self.state = self.chain.state
        self.height = self.state.height + 1
        self.order = schedule(self.contract, self.state)

    def start(self) -> tuple[str, ...]:
        """Start; all others answer at once that they saw nothing of this node (rule P60).

        Returns the lines of what it does then, and after them what it said while it asked.
        """
        asked = self.step(Started())
        effects = self.effects
        lines = self.answer()
        self.effects += effects
        return (*lines, *(line for line in asked if line != ASKS))

    def answer(
        self, members: Iterable[int] | None = None, *, shown: Statements = NOTHING
    ) -> tuple[str, ...]:
        """Members, all others unless told, answer the newest question of this node."""
        requests = [
            each.message.request.statement
            for each in self.history
            if isinstance(each, Publish) and isinstance(each.message, StatementsRequestMessage)
        ]
        lines: tuple[str, ...] = ()
        effects: tuple[Effect, ...] = ()
        members = self.others if members is None else members
        for member in members if requests else ():
            lines += self.step(self.answered(member, requests[-1].counter, shown=shown))
            effects += self.effects
        self.effects = effects
        return lines

    def answered(
        self,
        member: int,
        counter: int,
        *,
        height: int | None = None,
        shown: Statements = NOTHING,
    ) -> StatementsShown:
        """The answer of a member, with what it saw of this node."""
        answer = StatementsAnswer(
            asker=self.member,
            counter=counter,
            height=self.height if height is None else height,
            statements_hash=statements_hash(shown),
        )
        return StatementsShown(answer=self.verified(self.sign(answer, member)), statements=shown)

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
        """Votes of several members, all others unless told; all steps together."""
        lines: tuple[str, ...] = ()
        effects: tuple[Effect, ...] = ()
        for member in self.others if members is None else members:
            lines += self.vote(member, phase, view, block, valid_view)
            effects += self.effects
        self.effects = effects
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

    def block(
        self,
        name: str,
        *,
        view: int = 0,
        listing: Iterable[int] | None = None,
        is_other: bool = False,
    ) -> Block:
        """A valid block of a view, shown under `name`; with `is_other` it has other results.

        It carries HAVE and UPDATE of the engine's member only if the engine signed them.
        """
        if listing is None:
            listing = self._unless_unsigned(SlotKind.HAVE)
        block = self.chain.build(
            view=view,
            listing=listing,
            trainers=self._unless_unsigned(SlotKind.UPDATE),
            outliers=self.others[:1] if is_other else (),
        )
        self.names[block_id(block.header)] = name
        return block

    def _unless_unsigned(self, kind: SlotKind) -> tuple[int, ...] | None:
        slot = self.record.slot(kind)
        return None if slot is not None and slot.height == self.height else self.others

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
        return shown(effect, self.names)


def started(leads: int = 3, chain: Chain | None = None) -> Bench:
    """A bench whose engine has started."""
    bench = Bench(leads=leads, chain=chain)
    bench.start()
    return bench
