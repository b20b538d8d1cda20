"""Records what others say and says it again: later, at other heights, to anybody."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.past import CERTIFICATES_PER_PERIOD
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure
from tests.simulation.packets import BodyPull, Packet

if TYPE_CHECKING:
    from tests.simulation.world import World

TAPE_MAX = 1_000
REPLAYS = 10


class Replayer(Actor):
    """For every packet that it hears, ten of its tape go to members drawn by chance."""

    name = "replayer"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._tape: deque[Packet] = deque(maxlen=TAPE_MAX)

    @override
    def heard(self, source: int, packet: Packet) -> None:
        if isinstance(packet, BodyPull) or source in self.stage.accomplices:
            return
        self._tape.append(packet)
        rng = self.stage.rng
        for _ in range(REPLAYS):
            target = rng.randrange(self.stage.members)
            if target != self.stage.number:
                self.acts += 1
                self.stage.pass_on(target, rng.choice(self._tape))

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """Answers that old votes and requests drew from honest members (rules P35, P80)."""
        del liars
        periods = 1 + world.now // world.contract.timeouts.rebroadcast_ms
        per_period = world.settings.members * CERTIFICATES_PER_PERIOD
        return Measure(
            what="answers drawn from honest members",
            value=world.counts["answered"],
            limit=len(world.honest) * per_period * periods,
        )
