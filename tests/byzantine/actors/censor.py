"""Wants one member's updates left out: from collections.abc import Sequence
from its list, from its blocks, from what it votes for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.effects import BuildBlock
from consensus.messages import ProposalMessage, UpdateMessage
from ledger.keys import Signed
from ledger.records import HaveList, header_digest
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure, decided
from tests.simulation.packets import BodyPush, Packet

if TYPE_CHECKING:
    from tests.simulation.world import World

BODIES_KEPT = 32


class Censor(Actor):
    """Its victim is the honest member that all liars of the run agree on."""

    name = "censor"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._bodies: dict[bytes, None] = {}

    @override
    def hears(self, source: int, packet: Packet) -> bool:
        """Never hold the victim's bodies, and see no proposal that names it: vote nil in time."""
        victim, is_heard = self.stage.favourite, True
        match packet:
            case UpdateMessage() if packet.update.signer == victim:
                self._bodies[packet.update.statement.update_id] = None
                if len(self._bodies) > BODIES_KEPT:
                    del self._bodies[next(iter(self._bodies))]
            case BodyPush():
                is_heard = packet.body_id not in self._bodies
            case ProposalMessage():
                is_heard = all(each.signer != victim for each in packet.block.updates)
            case _:
                pass
        self.acts += not is_heard
        return is_heard

    @override
    def ordered(self, order: BuildBlock) -> BuildBlock:
        """Leave out the lists that name the victim if a quorum is left, and its header always."""
        validators, victim = self.stage.state.validators, self.stage.favourite
        haves = tuple(each for each in order.haves if not _lists(each, victim))
        if not validators.has_quorum(sum(validators.power_of(each.signer) for each in haves)):
            haves = order.haves
        updates = tuple(each for each in order.updates if each.signer != victim)
        self.acts += updates != order.updates
        return replace(order, haves=haves, updates=updates)

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """Updates that every honest list in a block names and the block lacks (rule P12)."""
        victim, left_out = liars[0].stage.favourite, 0
        for block in decided(world):
            honest = [each for each in block.haves if each.signer in world.honest]
            names = [{entry.header_digest for entry in each.statement.entries} for each in honest]
            carried = {header_digest(each.statement, world.chain_id) for each in block.updates}
            left_out += len(set.intersection(*names) - carried) if names else 0
        counted = sum(
            each.trainer == victim
            for block in decided(world)
            for each in block.header.results.contributions
        )
        return Measure(
            what="updates left out that all honest held",
            value=left_out,
            limit=0,
            note=f"the victim's counted {counted} times",
        )


def _lists(have: Signed[HaveList], trainer: int) -> bool:
    return any(entry.trainer == trainer for entry in have.statement.entries)
