"""Scenarios drawn by chance for networks that are too large for all of them.

One seed draws a network (powers, and up to the tolerated number of twins) and a small tree of
partitions: each state is followed under a few of them, and equal states are followed once.
"""

from collections import Counter
from random import Random
from typing import Final

from ledger.powers import cap
from tests.simulation.chance import make_random
from tests.twins.copying import Keys
from tests.twins.network import Network, Terms
from tests.twins.tree import Branch, Scenario, advance, heal, merged
from tests.twins.world import World

STAGES: Final = 4
SIDES: Final = 4
"""Partitions that are tried after each state: a seed has up to `SIDES ** STAGES` scenarios."""
SHARES: Final = (0.2, 0.35, 0.5)
"""How likely each replica is on the first side, drawn for each partition."""
POWERS: Final = (1, 2, 3, 10, 100)


def draw_terms(nodes: int, seed: int) -> Terms:
    """Draw a network: a quarter of them with equal powers, the twins always below a third.

    The smaller the budget, the more unequal the cap leaves the powers.
    """
    rng = make_random(f"twins/{nodes}/{seed}")
    budget = rng.randint(1, (nodes - 1) // 3)
    is_equal = rng.random() < 0.25
    scores = [1 if is_equal else rng.choice(POWERS) for _ in range(nodes)]
    return Terms(
        powers=cap(scores, budget),
        twins=tuple(sorted(rng.sample(range(nodes), rng.randint(1, budget)))),
        budget=budget,
    )


def sample(nodes: int, seed: int) -> Counter[str]:
    """Follow the tree of one seed to its end, healing every state there.

    Returns:
        Numbers of `scenarios`, of `runs` of stages, of distinct `states` at the end, and of these
        with `views` beyond the first and with a block `decided` before the network healed.

    Raises:
        BrokenPromiseError: If a scenario breaks a promise.
    """
    terms = draw_terms(nodes, seed)
    rng = make_random(f"sides/{nodes}/{seed}")
    network = Network(terms)
    counts: Counter[str] = Counter()
    with network.at_work():
        level = [first(network)]
        for _ in range(STAGES):
            level = _next(level, rng, counts)
        for branch in level:
            _count(branch, counts)
            heal(branch)
    return counts


def first(network: Network) -> Branch:
    """The state before the first stage."""
    scenario = Scenario(leaders=(), sides=())
    return Branch(world=World(network), scenario=scenario, count=1)


def _next(level: list[Branch], rng: Random, counts: Counter[str]) -> list[Branch]:
    found: dict[int, Branch] = {}
    keys = Keys()
    for branch in level:
        if branch.world.is_over:
            _count(branch, counts)
            continue
        for side in _draw_sides(len(branch.world.replicas), rng):
            scenario = Scenario(leaders=(), sides=(*branch.scenario.sides, side))
            world = advance(branch.world, scenario)
            counts["runs"] += 1
            after = Branch(world=world, scenario=scenario, count=branch.count)
            key = world.key(keys)
            known = found.get(key)
            found[key] = after if known is None else merged(known, after)
    return list(found.values())


def _draw_sides(replicas: int, rng: Random) -> list[int]:
    """A few different partitions, as bit masks."""
    drawn: set[int] = set()
    while len(drawn) < SIDES:
        share = rng.choice(SHARES)
        drawn.add(sum(1 << each for each in range(replicas - 1) if rng.random() < share))
    return sorted(drawn)


def _count(branch: Branch, counts: Counter[str]) -> None:
    counts["scenarios"] += branch.count
    counts["states"] += 1
    counts["views"] += branch.world.view > 0
    counts["decided"] += branch.world.decided is not None
