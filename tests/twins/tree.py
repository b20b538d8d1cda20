"""All scenarios of one network, explored as a tree in which equal states are one.

A scenario says for each stage who proposes in the next view and which replicas are on one side. The
members that have no twin differ by their names only, so leaders are named in the order in which
they first lead; and the leader of a view is chosen only in the stage that could enter the view.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from tests.simulation.packets import ViolationError
from tests.twins.copying import Keys
from tests.twins.network import Network, Terms
from tests.twins.world import World

ORPHANED: Final = "a view without a proposer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Who proposes in the first views, and who is on the first side in each stage (a bit mask)."""

    leaders: tuple[int, ...]
    sides: tuple[int, ...]

    @override
    def __str__(self) -> str:
        """Write it as `--replay` takes it."""
        return f"{','.join(map(str, self.leaders))}/{','.join(map(str, self.sides))}"


def parse_scenario(text: str) -> Scenario:
    """Read what `str` of a scenario wrote."""
    leaders, _, sides = text.partition("/")
    return Scenario(
        leaders=tuple(int(each) for each in leaders.split(",") if each),
        sides=tuple(int(each) for each in sides.split(",") if each),
    )


class BrokenPromiseError(AssertionError):
    """A scenario in which an honest replica broke a promise, and how."""

    def __init__(self, scenario: Scenario, reason: str) -> None:
        super().__init__(f"{reason} (scenario {scenario})")
        self.scenario = scenario
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A state, one scenario that leads to it, and the number of scenarios that do."""

    world: World
    scenario: Scenario
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The distinct states after some stages.

    Attributes:
        branches: Those from which something can still happen.
        over: Scenarios that ended before, because everybody honest decided.
        runs: Stages that were run to get here from the level before.
    """

    branches: tuple[Branch, ...]
    over: int
    runs: int


def first_level(network: Network) -> Level:
    """The states before the first stage: led by the twin, or by somebody else."""
    branches = []
    for leader in next_leaders((), network.terms):
        world = World(network, (leader,))
        scenario = Scenario(leaders=(leader,), sides=())
        branches.append(Branch(world=world, scenario=scenario, count=1))
    return Level(branches=tuple(branches), over=0, runs=0)


def next_level(level: Level, network: Network) -> Level:
    """The states one stage later.

    Raises:
        BrokenPromiseError: If that stage breaks a promise.
    """
    found: dict[int, Branch] = {}
    keys = Keys()
    over = runs = 0
    for branch in level.branches:
        if branch.world.is_over:
            over += weight(branch, network.terms)
            continue
        for after in children(branch, network):
            runs += 1
            key = after.world.key(keys)
            known = found.get(key)
            found[key] = after if known is None else merged(known, after)
    sides = 2 ** (len(network.terms.replicas) - 1)
    all_over = (level.over + over) * sides * len(network.terms.powers)
    return Level(branches=tuple(found.values()), over=all_over, runs=runs)


def merged(known: Branch, other: Branch) -> Branch:
    """One branch for two with equal states."""
    return Branch(world=known.world, scenario=known.scenario, count=known.count + other.count)


def children(branch: Branch, network: Network) -> Iterator[Branch]:
    """Every next stage of a state."""
    scenario, world = branch.scenario, branch.world
    stages = len(scenario.sides) + 1
    orders = [scenario.leaders]
    if len(scenario.leaders) < stages and world.view + 1 >= len(scenario.leaders):
        leaders = scenario.leaders
        orders = [(*leaders, each) for each in next_leaders(leaders, network.terms)]
    for order in orders:
        for side in range(2 ** (len(network.terms.replicas) - 1)):
            after = Scenario(leaders=order, sides=(*scenario.sides, side))
            yield Branch(world=advance(world, after), scenario=after, count=branch.count)


def advance(world: World, scenario: Scenario) -> World:
    """The state one stage later, by the last side of a scenario.

    Raises:
        BrokenPromiseError: If that stage breaks a promise, or the engine fails.
    """
    try:
        other = world.branch()
        other.leaders = scenario.leaders
        other.use_order()
        other.run_stage(members_of(scenario.sides[-1]))
    except ViolationError as error:
        raise BrokenPromiseError(scenario, str(error)) from None
    except Exception:  # noqa: BLE001  # a crash of the engine is a finding; name its scenario
        raise BrokenPromiseError(scenario, traceback.format_exc()) from None
    is_free = world.network.terms.has_free_order
    assert not is_free or other.view < len(scenario.leaders), ORPHANED
    return other


def heal(branch: Branch) -> World:
    """The state after the network healed.

    Raises:
        BrokenPromiseError: If not all honest replicas decide one block.
    """
    try:
        other = branch.world.branch()
        other.use_order()
        other.heal()
    except ViolationError as error:
        raise BrokenPromiseError(branch.scenario, str(error)) from None
    except Exception:  # noqa: BLE001  # as above
        raise BrokenPromiseError(branch.scenario, traceback.format_exc()) from None
    return other


def replay(terms: Terms, scenario: Scenario) -> World:
    """Run one scenario from the start, without copies and comparisons, and heal it.

    Raises:
        ViolationError: If it breaks a promise.
    """
    network = Network(terms)
    with network.at_work():
        world = World(network, scenario.leaders)
        for side in scenario.sides:
            world.run_stage(members_of(side))
        world.heal()
    return world


def members_of(side: int) -> frozenset[int]:
    """The numbers of the replicas on a side; the last replica is never among them."""
    return frozenset(number for number in range(side.bit_length()) if side >> number & 1)


def next_leaders(leaders: tuple[int, ...], terms: Terms) -> tuple[int, ...]:
    """Who may propose next: a twin, who led before, or the first of those who did not."""
    if terms.has_all_names:
        return tuple(range(len(terms.powers)))
    fresh = [each for each in sorted(terms.honest) if each not in leaders]
    known = {*terms.twins, *leaders}
    return tuple(sorted(known.union(fresh[:1])))


def names(leaders: tuple[int, ...], terms: Terms) -> int:
    """In how many ways the honest members among some leaders can be named."""
    ways = 1
    if terms.has_all_names:
        return ways
    for taken in range(len(set(leaders) & terms.honest)):
        ways *= len(terms.honest) - taken
    return ways


def weight(branch: Branch, terms: Terms) -> int:
    """The number of scenarios, with every name and every leader, that a branch stands for."""
    scenario = branch.scenario
    free = len(scenario.sides) - len(scenario.leaders)
    ways = branch.count * names(scenario.leaders, terms)
    leaders = len(terms.powers)
    for _ in range(free):
        ways *= leaders
    return ways


def covered(level: Level, terms: Terms) -> int:
    """The number of scenarios that led to a level, those that ended before included."""
    return level.over + sum(weight(each, terms) for each in level.branches)
