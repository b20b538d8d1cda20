"""Rule P45 in whole networks: who is banned, how fast, and that the rest goes on."""

import pytest

from tests.simulation.mutants import no_evidence
from tests.simulation.packets import ViolationError
from tests.simulation.settings import Settings
from tests.simulation.world import World

DECIDE_MS = 120_000
SEVEN = (100,) * 7


def run_to(world: World, height: int) -> None:
    honest = [world.nodes[member] for member in world.honest]
    world.start()
    world.heal()
    world.run_until(lambda: all(node.height >= height for node in honest), within_ms=DECIDE_MS)
    world.end()


def banned(world: World) -> set[tuple[int, ...]]:
    return {world.nodes[member].disk.state.banned for member in world.honest}


def test_an_equivocator_among_four_is_banned_and_the_other_three_go_on() -> None:
    world = World(Settings(seed=51, byzantine=((2, "equivocator"),), faulty_ms=1))

    run_to(world, 8)

    assert banned(world) == {(2,)}


def test_two_equivocators_among_seven_are_banned() -> None:
    world = World(
        Settings(
            seed=52,
            validators=7,
            byzantine_budget=2,
            trainer_budget=2,
            samples=SEVEN,
            skews_ms=(0,) * 7,
            byzantine=((1, "equivocator"), (4, "equivocator")),
            faulty_ms=1,
        )
    )

    run_to(world, 8)

    assert banned(world) == {(1, 4)}


@pytest.mark.parametrize("strategy", ["silent", "slow", "wrong_aggregate", "withholder"])
def test_who_is_slow_silent_or_wrong_is_never_banned(strategy: str) -> None:
    """Only signatures that contradict each other accuse."""
    world = World(Settings(seed=53, byzantine=((2, strategy),), faulty_ms=1))

    run_to(world, 6)

    assert banned(world) == {()}


def test_the_checker_sees_an_equivocator_that_keeps_its_power() -> None:
    world = World(Settings(seed=51, byzantine=((2, "equivocator"),), faulty_ms=1))

    with no_evidence(), pytest.raises(ViolationError, match="member 2 contradicted itself"):
        run_to(world, 8)
