"""The tree covers what naive enumeration covers, and states that it takes for one are one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from tests.simulation.chance import make_random
from tests.twins.copying import Keys
from tests.twins.network import Network
from tests.twins.runner import FOUR, FOUR_NAMED, levels, scenarios_per_stage
from tests.twins.tree import (
    Branch,
    Level,
    Scenario,
    advance,
    children,
    covered,
    first_level,
    members_of,
    next_level,
    parse_scenario,
)
from tests.twins.world import World

SIDES = range(16)
STARTS = 4
"""First stages from which equal states are looked for: with waits that adapt few are equal."""
Outcome = tuple[object, ...]


@pytest.fixture(name="network")
def running_network() -> Iterator[Network]:
    """Four members, one of them with a twin."""
    network = Network(FOUR)
    with network.at_work():
        yield network


def outcome(world: World) -> Outcome:
    """What happened, as far as anybody outside can see it."""
    return (
        world.decided,
        tuple(
            (each.decision is not None, each.engine and each.engine.view) for each in world.replicas
        ),
        frozenset(world.discipline.slots.items()),
    )


def naive(network: Network, scenario: Scenario) -> World:
    """One scenario from the start, without copies."""
    world = World(network, scenario.leaders)
    for side in scenario.sides:
        world.run_stage(members_of(side))
    return world


def led_by(leaders: tuple[int, ...], level: Level) -> Level:
    """The states of a level to which scenarios with these leaders lead."""
    some = [
        each
        for each in level.branches
        if leaders[: len(each.scenario.leaders)] == each.scenario.leaders
    ]
    return replace(level, branches=tuple(some))


@pytest.mark.slow
@pytest.mark.parametrize("leaders", [(0, 1), (1, 2)])
def test_the_tree_comes_to_every_outcome_as_often_as_naive_enumeration(
    network: Network, leaders: tuple[int, ...]
) -> None:
    found = Counter(
        outcome(naive(network, Scenario(leaders=leaders, sides=sides)))
        for sides in product(SIDES, repeat=2)
    )

    level = first_level(network)
    for _ in range(2):
        level = next_level(led_by(leaders, level), network)
    of_tree: Counter[Outcome] = Counter()
    for branch in led_by(leaders, level).branches:
        of_tree[outcome(branch.world)] += branch.count

    assert found == of_tree
    assert len(found) > 50


@pytest.mark.slow
def test_states_that_are_taken_for_one_have_the_same_futures(network: Network, seed: int) -> None:
    rng = make_random(str(seed))
    keys = Keys()
    equal: dict[int, list[Branch]] = {}
    for start in first_level(network).branches[:STARTS]:
        for first in children(start, network):
            for second in children(first, network):
                equal.setdefault(second.world.key(keys), []).append(second)

    merged = [each for each in equal.values() if len(each) > 1]
    for one, *others in merged:
        for side in rng.sample(SIDES, 3):
            after = {
                advance(
                    each.world,
                    Scenario(leaders=one.scenario.leaders, sides=(*each.scenario.sides, side)),
                ).key(keys)
                for each in (one, *others)
            }
            assert len(after) == 1, f"{one.scenario} and {others[0].scenario}, then {side}"
    assert len(merged) > 5


def test_a_branch_does_not_touch_what_it_was_copied_from(network: Network) -> None:
    world = World(network, (0,))
    keys = Keys()
    before = world.key(keys)

    for side in SIDES:
        advance(world, Scenario(leaders=(0,), sides=(side,)))

    assert world.key(keys) == before


@pytest.mark.slow
def test_every_scenario_is_counted_once_with_all_its_names(network: Network) -> None:
    for stages in (1, 2):
        level, runs = levels(network, stages)

        assert covered(level, FOUR) == scenarios_per_stage(FOUR) ** stages
        assert runs <= covered(level, FOUR) / 2


def test_without_renaming_every_scenario_is_run_under_its_own_names() -> None:
    network = Network(FOUR_NAMED)
    with network.at_work():
        level, runs = levels(network, 1)

    assert covered(level, FOUR_NAMED) == runs == scenarios_per_stage(FOUR)
    assert {each.scenario.leaders for each in level.branches} == {(0,), (1,), (2,), (3,)}


def test_a_scenario_is_read_as_it_is_written() -> None:
    for scenario in (Scenario(leaders=(0, 2), sides=(3, 15)), Scenario(leaders=(), sides=(7,))):
        assert parse_scenario(str(scenario)) == scenario
