"""Members that lie: a production node whose host bends what it says, or who signs what it likes."""

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.effects import BuildBlock, Halt
from consensus.messages import (
    CertificateMessage,
    EvidenceMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.inclusion import EMPTY_VIEW_MIN, expected_kind
from ledger.keys import Signed, StatementT, sign
from ledger.records import FRESH, NIL, Block, HaveList, Phase, Proposal, Vote, block_id
from ledger.state import block_time
from tests.simulation.aggregate import build, false_body_id
from tests.simulation.chance import make_random
from tests.simulation.disk import Disk
from tests.simulation.node import Node
from tests.simulation.packets import BodyPull, BodyPush, Packet

if TYPE_CHECKING:
    from tests.simulation.world import World

SLOW_MS_MAX = 3_000
MUTE_MS_MAX = 4_000


class ByzantineNode(Node):
    """One liar with one strategy; all liars of a world share the halves they tell apart."""

    def __init__(self, world: "World", member: int, disk: Disk, strategy: str) -> None:
        super().__init__(world, member, disk)
        self.strategy = strategy
        members = world.settings.members
        chance = make_random(f"halves/{world.settings.seed}")
        self.half = frozenset(chance.sample(range(members), members // 2))
        self._echoed: set[tuple[int, Vote]] = set()
        self._twins: dict[bytes, bytes] = {}
        self._order: BuildBlock | None = None
        self._haves: dict[int, HaveMessage] = {}
        self._updates: dict[tuple[int, bytes], UpdateMessage] = {}
        self.favourite = chance.choice(world.honest)

    def raw_sign(self, statement: StatementT) -> Signed[StatementT]:
        """Sign without asking the signer."""
        return sign(statement, self.key, signer=self.member, chain_id=self.world.chain_id)

    @override
    def halt(self, effect: Halt) -> None:
        """A liar that is caught by its own engine falls silent."""
        del effect
        self.leave()

    @override
    def publish(self, message: Message) -> None:
        match self.strategy:
            case "silent":
                return
            case "whisperer":
                self.send(self.favourite, message)
            case "nuller" if isinstance(message, VoteMessage):
                super().publish(self._nil(message))
            case "equivocator":
                self._tell_halves(message)
            case "favourer" if isinstance(message, VoteMessage | CertificateMessage):
                self.send(self.favourite, message)
                self._discourage(message)
            case "forgetter" if isinstance(message, ProposalMessage):
                super().publish(self._forget(message))
            case "favourer" if isinstance(message, ProposalMessage):
                self._favour(self._forget(message))
            case "withholder" if isinstance(message, ProposalMessage):
                for target in sorted(self.half):
                    self.send(target, message)
            case _:
                super().publish(message)

    @override
    def send(self, target: int, message: Message) -> None:
        if self.strategy != "silent":
            super().send(target, message)

    @override
    def emit(self, target: int, message: Message) -> None:
        if target == self.member:
            return
        if self.strategy == "slow":
            delay = int(self.world.rng.random() * SLOW_MS_MAX)
            self.world.at(delay, super().emit, target, message)
        elif self.strategy == "withholder" and isinstance(message, UpdateMessage):
            # One holder besides itself: below blocking, so that nobody needs the body.
            self.world.send(self.member, target, message)
            if target == min(self.half):
                body_id = message.update.statement.update_id
                self.world.send(self.member, target, BodyPush(body_id=body_id))
        else:
            super().emit(target, message)

    @override
    def receive(self, source: int, packet: Packet) -> None:
        if self.strategy == "withholder" and isinstance(packet, BodyPull):
            return
        if isinstance(packet, EvidenceMessage):
            # It goes on until the block that bans it.
            return
        super().receive(source, packet)
        self._collect(packet)
        if self.strategy in {"echoer", "equivocator"} and isinstance(packet, VoteMessage):
            self._echo(source, packet.vote.statement)

    @override
    def build(self, effect: BuildBlock) -> None:
        self._order = effect
        super().build(effect)

    @override
    def built(self, effect: BuildBlock, block: Block) -> None:
        if self.strategy == "wrong_aggregate":
            block = build(self.world.contract, self.state, effect, is_wrong=True)
        super().built(effect, block)

    def _favour(self, message: Message) -> None:
        """Let the favourite alone see a quorum, and have the broker drop what it then says."""
        validators = self.state.validators
        friends = (self.favourite, *dict(self.world.settings.byzantine))
        power = sum(map(validators.power_of, friends))
        self.send(self.favourite, message)
        for target in self.world.honest:
            if target != self.favourite and not validators.has_quorum(power):
                self.send(target, message)
                power += validators.power_of(target)
        if self.world.healed_at is None:
            members = range(self.world.settings.members)
            links = frozenset((self.favourite, each) for each in members if each != self.favourite)
            name = -1 - self.member
            self.world.network.cut(name, links)
            self.world.at(int(self.world.rng.random() * MUTE_MS_MAX), self.world.network.join, name)

    def _discourage(self, message: VoteMessage | CertificateMessage) -> None:
        """Tell everybody but the favourite that one votes nil."""
        if isinstance(message, VoteMessage):
            for target in self.world.honest:
                if target != self.favourite:
                    self.send(target, self._nil(message))

    def _collect(self, packet: Packet) -> None:
        """Keep what a fresh block is made of."""
        if isinstance(packet, HaveMessage):
            self._haves[packet.have.signer] = packet
        elif isinstance(packet, UpdateMessage):
            header = packet.update.statement
            self._updates[header.trainer, header.update_id] = packet

    def _forget(self, message: ProposalMessage) -> Message:
        """Offer a fresh block where the protocol says to offer the one that a quorum prepared."""
        statement = message.proposal.statement
        height = self.state.height + 1
        if statement.valid_view == FRESH or statement.height != height:
            return message
        contract, is_late = self.world.contract, statement.view >= EMPTY_VIEW_MIN
        haves = tuple(
            self._haves[member].have
            for member in sorted(self._haves)
            if self._haves[member].have.statement.height == height and not is_late
        )
        updates = tuple(each.update for each in self._updates.values()) if haves else ()
        order = BuildBlock(
            height=height,
            view=statement.view,
            kind=expected_kind(contract, self.state, statement.view, haves, updates),
            time_ms=block_time(self.state, self.now_ms()),
            haves=haves,
            updates=updates,
            last_certificate=next(iter(message.block.last_certificate), None),
        )
        block = build(contract, self.state, order)
        # Sometimes it claims that a quorum prepared the block before, without showing it.
        claimed = self.world.rng.choice((FRESH, statement.valid_view))
        fresh = replace(statement, valid_view=claimed, block_id=block_id(block.header))
        return ProposalMessage(proposal=self.raw_sign(fresh), block=block, certificate=())

    def _nil(self, message: VoteMessage) -> VoteMessage:
        nil = replace(message.vote.statement, block_id=NIL, valid_view=FRESH)
        return VoteMessage(vote=self.raw_sign(nil), reason="because")

    def _echo(self, source: int, vote: Vote) -> None:
        """Tell each voter in private that one votes as it does, in both phases."""
        if source not in self.world.honest or (source, vote) in self._echoed:
            return
        self._echoed.add((source, vote))
        self.send(source, VoteMessage(vote=self.raw_sign(vote), reason=""))
        commit = replace(vote, phase=Phase.COMMIT, valid_view=FRESH)
        self.send(source, VoteMessage(vote=self.raw_sign(commit), reason=""))

    def _tell_halves(self, message: Message) -> None:
        """Say one thing to one half of the members and another to the rest."""
        other = self._other(message)
        for target in range(self.world.settings.members):
            self.send(target, message if target in self.half else other)

    def _other(self, message: Message) -> Message:
        match message:
            case ProposalMessage() if message.proposal.signer == self.member:
                return self._twin(message)
            case VoteMessage():
                vote = message.vote.statement
                twin = self._twins.get(vote.block_id)
                if twin is None:
                    return self._nil(message)
                return VoteMessage(vote=self.raw_sign(replace(vote, block_id=twin)), reason="")
            case HaveMessage():
                have = HaveList(height=message.have.statement.height, entries=())
                return HaveMessage(have=self.raw_sign(have))
            case UpdateMessage() if message.update.signer == self.member:
                header = message.update.statement
                other = replace(header, update_id=false_body_id(header.update_id))
                self.disk.bodies.add(other.update_id)
                return UpdateMessage(update=self.raw_sign(other))
            case _:
                return message

    def _twin(self, message: ProposalMessage) -> Message:
        """A second block for the same view, different in its time."""
        statement, order = message.proposal.statement, self._order
        if statement.valid_view != FRESH or order is None:
            return message
        if self.state.height + 1 != statement.height or order.view != statement.view:
            return message
        later = replace(order, time_ms=order.time_ms + 1)
        block = build(self.world.contract, self.state, later)
        own_id = block_id(block.header)
        self._twins[statement.block_id] = own_id
        proposal: Proposal = replace(statement, block_id=own_id)
        return ProposalMessage(
            proposal=self.raw_sign(proposal), block=block, certificate=message.certificate
        )
