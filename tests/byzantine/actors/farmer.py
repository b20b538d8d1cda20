"""Serves faultlessly, claims many patients, robs others of credit; later it stops."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from consensus.messages import Message
from ledger.genesis_rules import SAMPLES_MAX
from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.measures import Measure
from tests.byzantine.actors.vote_omitter import VoteOmitter

if TYPE_CHECKING:
    from tests.simulation.world import World

HARVEST_HEIGHT = 32
PERMILLE = 1000


class Farmer(VoteOmitter):
    """Collects reputation for 32 heights and then is silent, with all the power that it has."""

    name = "farmer"
    heights = 40
    samples: ClassVar[int | None] = SAMPLES_MAX

    @override
    def publish(self, message: Message) -> None:
        if self.stage.state.height < HARVEST_HEIGHT:
            self.stage.say(message)
        else:
            self.acts += 1

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """The largest share of power that the farmers ever had together (rule P41)."""
        farmers = [each.stage.number for each in liars]
        shares = [
            PERMILLE * sum(map(state.validators.power_of, farmers)) // state.validators.total
            for state in world.checkers.states
        ]
        return Measure(
            what="permille of power held together", value=max(shares), limit=PERMILLE // 3
        )
