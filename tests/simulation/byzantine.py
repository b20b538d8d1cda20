"""Members that lie in the simulator: a production node, and an actor that bends what it says."""

from collections.abc import Callable, Collection
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.effects import BuildBlock, Halt
from consensus.messages import EvidenceMessage, Message, MetricsMessage
from ledger.keys import Signed, StatementT, sign
from ledger.records import Block
from tests.byzantine.actors.cast import make_actor
from tests.byzantine.actors.slanderer import Slanderer
from tests.simulation.aggregate import needed_bodies
from tests.simulation.chance import make_random
from tests.simulation.disk import Disk
from tests.simulation.node import Node
from tests.simulation.packets import Packet

if TYPE_CHECKING:
    from tests.simulation.world import World

CLONE_INCARNATION = 1_000


class ByzantineNode(Node):
    """One liar with one actor, for which it is the `Stage`; all liars of a world tell apart the
    same halves and have the same favourite.
    """

    def __init__(self, world: "World", member: int, disk: Disk, part: str) -> None:
        super().__init__(world, member, disk)
        members = world.settings.members
        chance = make_random(f"halves/{world.settings.seed}")
        self.half = frozenset(chance.sample(range(members), members // 2))
        self.favourite: int = chance.choice(world.honest)
        self.accomplices = tuple(dict(world.settings.byzantine))
        self.actor, self._trigger = make_actor(part, self)
        self._slanderer = Slanderer(self) if member in world.settings.slanderers else None

    @property
    def is_acting(self) -> bool:
        """Whether the actor's trigger fires in the height and view in work."""
        return self._trigger.fires(
            self.height + 1, self.view, seed=f"{self.world.settings.seed}/{self.member}"
        )

    # --- between the node below and the network --------------------------------------------------

    @override
    def start(self) -> None:
        super().start()
        if self.is_acting:
            self.actor.started()

    @override
    def halt(self, effect: Halt) -> None:
        """A liar that is caught by its own engine falls silent."""
        del effect
        self.leave()

    @override
    def publish(self, message: Message) -> None:
        if self.is_acting and self._slanderer is not None and isinstance(message, MetricsMessage):
            self.world.counts["slanders"] += 1
            self._slanderer.publish(message)
        elif self.is_acting:
            self.actor.publish(message)
        else:
            super().publish(message)

    @override
    def send(self, target: int, message: Message) -> None:
        if self.is_acting:
            self.actor.send(target, message)
        else:
            super().send(target, message)

    @override
    def emit(self, target: int, message: Message) -> None:
        if target == self.member:
            return
        delay_ms = self.actor.delay_ms() if self.is_acting else 0
        if delay_ms:
            self.world.at(delay_ms, super().emit, target, message)
        else:
            super().emit(target, message)

    @override
    def gives_body(self, target: int, body_id: bytes) -> bool:
        is_willing = not self.is_acting or self.actor.gives_body(target, body_id)
        return is_willing and super().gives_body(target, body_id)

    @override
    def receive(self, source: int, packet: Packet) -> None:
        is_acting = self.is_acting
        if is_acting and not self.actor.hears(source, packet):
            return
        if isinstance(packet, EvidenceMessage):
            # It goes on until the block that bans it.
            return
        super().receive(source, packet)
        if is_acting:
            self.actor.heard(source, packet)

    @override
    def build(self, effect: BuildBlock) -> None:
        if self.state.height + 1 != effect.height:
            return
        order = self.actor.ordered(effect) if self.is_acting else effect
        ids = needed_bodies(self.contract, self.state, order)
        self.bodies.require(ids, partial(super().build, order))

    @override
    def built(self, effect: BuildBlock, block: Block) -> None:
        is_current = self.engine is not None and self.state.height + 1 == effect.height
        if is_current and self.is_acting:
            block = self.actor.built(effect, block)
        super().built(effect, block)

    # --- what the actor can do --------------------------------------------------------------------

    @property
    def number(self) -> int:
        """The own member number."""
        return self.member

    @property
    def members(self) -> int:
        """How many members there are."""
        return self.world.settings.members

    @property
    def rng(self) -> Random:
        """The world's chance."""
        return self.world.rng

    def raw_sign(self, statement: StatementT) -> Signed[StatementT]:
        """Sign without asking the signer."""
        return sign(statement, self.key, signer=self.member, chain_id=self.world.chain_id)

    def say(self, message: Message) -> None:
        """Publish to all members."""
        super().publish(message)

    def say_to(self, target: int, message: Message) -> None:
        """Send to one member."""
        super().send(target, message)

    def pass_on(self, target: int, packet: Packet) -> None:
        """Send what somebody else said, as it is."""
        self.world.send(self.member, target, packet)

    def other_body(self, update_id: bytes) -> bytes:
        """Make another body than the own one of this id."""
        return self.world.substance.other_body(self, update_id)

    def give_body(self, target: int, body_id: bytes) -> None:
        """Send a body to a member that did not ask for it."""
        self.pass_on(target, self.world.substance.push_of(self, body_id))

    def make(self, order: BuildBlock, *, is_wrong: bool = False) -> Block:
        """Build a block."""
        return self.world.substance.build(self, order, is_wrong=is_wrong)

    def cut(self, links: Collection[tuple[int, int]], ms_max: int) -> None:
        """Have the broker drop what goes over some links, at most until the network heals."""
        if self.world.healed_at is not None:
            return
        name = -1 - self.member
        self.world.network.cut(name, frozenset(links))
        self.world.at(int(self.world.rng.random() * ms_max), self.world.network.join, name)

    def clone(self) -> Callable[[int, Packet], None]:
        """Start a second node with the own key and an empty disk."""
        twin = Clone(self.world, self.member, self.world.make_disk(f"twin-{self.member}"))
        # Its updates are salted by itself.
        twin.incarnation = CLONE_INCARNATION
        twin.start()
        return twin.receive


class Clone(Node):
    """A second node with the key of a liar, which takes no notice of evidence."""

    @override
    def halt(self, effect: Halt) -> None:
        del effect
        self.leave()

    @override
    def receive(self, source: int, packet: Packet) -> None:
        if not isinstance(packet, EvidenceMessage):
            super().receive(source, packet)
