"""One run with one actor: what it did, what it achieved, and whether every promise held.

The network is calm but for what the actor needs, so that whatever goes wrong is the actor's doing;
powers are unequal. The checkers of the simulator look at every step, and the honest members must
reach the last height in time.
"""

from dataclasses import dataclass, replace
from typing import Final

from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.cast import ACTORS
from tests.byzantine.actors.measures import Measure
from tests.simulation.buffers import count_items
from tests.simulation.byzantine import ByzantineNode
from tests.simulation.settings import Settings
from tests.simulation.sharing import shared_results
from tests.simulation.world import World

SAMPLES: Final = {4: (40, 100, 150, 400), 7: (20, 50, 100, 100, 150, 300, 400)}
"""Unequal powers; the liars are those who have the most."""
LIARS: Final = {4: 1, 7: 2}
SAMPLE_EVERY_MS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one run.

    Attributes:
        acts: How often the liars did something that no honest member does.
        virtual_ms: How long the run took in virtual time.
        measure: What they achieved; None if a promise was broken.
        problem: The broken promise, empty if there is none.
    """

    actor: str
    members: int
    seed: int
    acts: int
    virtual_ms: int
    heights: int
    measure: Measure | None
    problem: str

    @property
    def is_held(self) -> bool:
        """Whether all promises held, the actor acted, and achieved no more than is conceded."""
        return bool(not self.problem and self.acts and self.measure and self.measure.is_held)


def run_trial(part: str, members: int, seed: int) -> Trial:
    """Run a network of 4 or 7 with as many liars as it tolerates, all in one part."""
    world = World(settings_of(part, members, seed))
    liars = [actor_of(world, liar) for liar in dict(world.settings.byzantine)]
    measure, problem = None, ""
    world.at(SAMPLE_EVERY_MS, sample_buffers, world)
    try:
        with shared_results():
            world.run()
            measure = actor_class(part).measure(world, liars)
    except AssertionError as error:
        # A `ViolationError`, or something that the program itself held for impossible.
        problem = str(error) or repr(error)
    return Trial(
        actor=part,
        members=members,
        seed=seed,
        acts=sum(liar.acts for liar in liars),
        virtual_ms=world.now,
        heights=max(node.height for node in world.nodes),
        measure=measure,
        problem=problem,
    )


def settings_of(part: str, members: int, seed: int) -> Settings:
    """The settings of an actor's trial."""
    actor, count = actor_class(part), LIARS[members]
    samples = SAMPLES[members]
    if actor.samples is not None:
        samples = samples[: members - count] + (actor.samples,) * count
    # Another order of the members is another contract, and so another order of proposers.
    shift = seed % members
    samples = samples[members - shift :] + samples[: members - shift]
    liars = sorted((each + shift) % members for each in range(members - count, members))
    calm = Settings(
        seed=seed,
        validators=members,
        byzantine_budget=count,
        trainer_budget=count,
        samples=samples,
        skews_ms=(0,) * members,
        byzantine=tuple((liar, part) for liar in liars),
        faulty_ms=1,
        heights=actor.heights,
    )
    return replace(calm, **actor.conditions)


def actor_class(part: str) -> type[Actor]:
    """The class of a part."""
    return ACTORS[part.partition(":")[0]]


def actor_of(world: World, member: int) -> Actor:
    """The actor of a liar."""
    node = world.nodes[member]
    assert isinstance(node, ByzantineNode)
    return node.actor


def sample_buffers(world: World) -> None:
    """Note the most that any honest engine keeps, again and again."""
    kept = max(count_items(world.nodes[member].engine, set()) for member in world.honest)
    world.counts["items_max"] = max(world.counts["items_max"], kept)
    world.at(SAMPLE_EVERY_MS, sample_buffers, world)
