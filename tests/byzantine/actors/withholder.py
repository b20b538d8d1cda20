"""Announces updates whose body nobody or one member gets, and proposals that only half see."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.messages import Message, ProposalMessage
from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.measures import Measure, decided

if TYPE_CHECKING:
    from tests.simulation.world import World


class Withholder(Actor):
    """One holder besides itself is below blocking: nobody may come to need the body."""

    name = "withholder"

    @override
    def publish(self, message: Message) -> None:
        if isinstance(message, ProposalMessage):
            self.acts += 1
            for target in sorted(self.stage.half):
                self.stage.say_to(target, message)
        else:
            self.stage.say(message)

    @override
    def gives_body(self, target: int, body_id: bytes) -> bool:
        self.acts += 1
        is_kept = self.stage.state.height % 2 == 1
        return not is_kept and target == min(self.stage.half - {self.stage.number})

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """Updates of honest members that a block of a training round lacks."""
        del liars
        lacking = sum(
            not {each.statement.trainer for each in block.updates} >= set(world.honest)
            for block in decided(world)
        )
        return Measure(what="blocks without an honest update", value=lacking, limit=0)
