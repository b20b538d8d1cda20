"""A key that two nodes use: each is honest, and neither knows of the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure, blocks_to_ban
from tests.simulation.packets import Packet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import World


class Twin(Actor):
    """The second node has a disk of its own; what arrives is heard by both."""

    name = "twin"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._other: Callable[[int, Packet], None] | None = None

    @override
    def started(self) -> None:
        if self._other is None:
            self.acts += 1
            self._other = self.stage.clone()

    @override
    def hears(self, source: int, packet: Packet) -> bool:
        if self._other is not None:
            self._other(source, packet)
        return True

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        return blocks_to_ban(world, [each.stage.number for each in liars])
