"""Puts the time of its blocks as far into the future as it dares, and sometimes further."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.effects import BuildBlock
from consensus.timeouts import clock_window_ms
from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.measures import Measure, decided

if TYPE_CHECKING:
    from tests.simulation.world import World

GREEDY_SHARE = 0.3
GREED = 10


class ClockPusher(Actor):
    """Knows the window of rule P14 and uses all of it."""

    name = "clock_pusher"
    heights = 16

    @override
    def ordered(self, order: BuildBlock) -> BuildBlock:
        self.acts += 1
        window_ms = clock_window_ms(self.stage.contract.timeouts, order.view)
        if self.stage.rng.random() < GREEDY_SHARE:
            window_ms *= GREED
        time_ms = max(self.stage.now_ms() + window_ms, self.stage.state.time_ms + 1)
        return replace(order, time_ms=time_ms)

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """How far a block's time was ahead of the time at which it was decided."""
        del liars
        ahead_ms = max(
            block.header.time_ms - world.checkers.decided_ms[block.header.height]
            for block in decided(world)
        )
        timeouts = world.contract.timeouts
        views = max(block.header.created_view for block in decided(world))
        return Measure(
            what="ms that a block is ahead of the clocks",
            value=max(0, ahead_ms),
            limit=clock_window_ms(timeouts, views),
        )
