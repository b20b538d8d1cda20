"""The engine's timers without waiting for them (rules P35, P93)."""

import asyncio

from consensus.effects import Timer, TimerKind
from fednode.timers import Timers

COLLECT = Timer(kind=TimerKind.COLLECT, height=5, view=0)
PROPOSE = Timer(kind=TimerKind.PROPOSE, height=6, view=1)
REBROADCAST = Timer(kind=TimerKind.REBROADCAST, height=0, view=0)
"""As the engine sets it: of no height, because it outlives all of them."""


class Waits:
    """Fires what was set, in order of time, without waiting."""

    def __init__(self) -> None:
        self.fired: list[Timer] = []
        self.timers = Timers(self.fired.append)

    def run_out(self) -> list[Timer]:
        loop = asyncio.get_running_loop()
        handles: list[asyncio.TimerHandle] = list(loop._scheduled)  # type: ignore[attr-defined]
        for handle in sorted(handles, key=lambda each: each.when()):
            if not handle.cancelled():
                handle._run()
                handle.cancel()
        return self.fired


async def test_timers_fire_in_the_order_of_their_waits() -> None:
    waits = Waits()
    waits.timers.set(PROPOSE, 200)
    waits.timers.set(COLLECT, 100)

    assert waits.run_out() == [COLLECT, PROPOSE]


async def test_a_timer_set_again_starts_anew_and_fires_once() -> None:
    waits = Waits()
    waits.timers.set(COLLECT, 100)
    waits.timers.set(PROPOSE, 200)
    waits.timers.set(COLLECT, 300)

    assert waits.run_out() == [PROPOSE, COLLECT]


async def test_a_commit_forgets_the_timers_of_its_height_and_no_later_ones() -> None:
    waits = Waits()
    waits.timers.set(COLLECT, 100)
    waits.timers.set(PROPOSE, 200)

    waits.timers.cancel_through(5)

    assert waits.run_out() == [PROPOSE]


async def test_rebroadcast_outlives_every_height() -> None:
    """Rule P35: a node goes on saying again what others may have missed."""
    waits = Waits()
    waits.timers.set(REBROADCAST, 100)

    waits.timers.cancel_through(5)

    assert waits.run_out() == [REBROADCAST]


async def test_nothing_fires_after_the_end() -> None:
    waits = Waits()
    waits.timers.set(COLLECT, 100)
    waits.timers.set(REBROADCAST, 100)

    waits.timers.cancel_all()

    assert waits.run_out() == []
