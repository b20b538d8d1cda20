"""When which fault strikes: drawn once, before the run, from the world's own chance."""

from typing import TYPE_CHECKING

from consensus.effects import Notice, Progress
from tests.simulation.disk import Disk
from tests.simulation.network import draw_cut

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

CUT_MS_MAX = 6_000
PAUSE_MS_MAX = 6_000
FUSE_EFFECTS_MAX = 12
STUMBLE_MS_MAX = 300


def plan_faults(world: "World") -> None:
    """Put every partition, pause, crash and power cut of this seed on the heap."""
    settings, rng = world.settings, world.rng

    def when() -> int:
        return rng.randrange(settings.faulty_ms)

    for name in range(settings.partitions):
        links = draw_cut(rng, settings.members)
        start = when()
        world.at(start, start_cut, world, name, links)
        world.at(start + rng.randint(100, CUT_MS_MAX), world.network.join, name)
    for _ in range(settings.pauses):
        world.at(
            when(), pause, world, rng.randrange(settings.members), rng.randint(50, PAUSE_MS_MAX)
        )
    for _ in range(settings.crashes):
        fuse = rng.randrange(FUSE_EFFECTS_MAX)
        world.at(when(), light_fuse, world, rng.choice(world.honest), fuse)
    for _ in range(settings.power_cuts):
        world.at(when(), cut_power, world)


def start_cut(world: "World", name: int, links: frozenset[tuple[int, int]]) -> None:
    """Begin a partition."""
    world.counts["partitions"] += 1
    world.note(f"CUT {sorted(links)}")
    world.network.cut(name, links)


def pause(world: "World", member: int, duration_ms: int) -> None:
    """Stop one process for a while; what arrives meanwhile waits."""
    world.counts["pauses"] += 1
    world.note(f"{member} PAUSE {duration_ms}")
    world.nodes[member].paused_until = world.now + duration_ms


def light_fuse(world: "World", member: int, effects: int) -> None:
    """Crash a node after so many more effects: between any two of them."""
    if world.healed_at is None:
        world.nodes[member].fuse = effects


def stumble(node: "Node", effect: Notice | Progress) -> None:
    """Let an honest node that has just entered a later view crash, as often as the seed drew.

    So it may be gone before it says again what led it there.
    """
    world = node.world
    if world.counts["stumbles"] == world.settings.stumbles or world.healed_at is not None:
        return
    is_entry = isinstance(effect, Progress) and effect.view > 0 and effect.phase == "propose"
    if is_entry and node.member in world.honest:
        world.counts["stumbles"] += 1
        world.at(int(world.rng.random() * STUMBLE_MS_MAX), light_fuse, world, node.member, 0)


def lose_state(world: "World", member: int, disk: Disk) -> None:
    """Crash a node; it comes back with another disk: an empty one, or an old copy."""
    node = world.nodes[member]
    node.crash()
    world.counts["lost_states"] += 1
    node.has_lost_state = True
    node.disk = disk


def cut_power(world: "World") -> None:
    """Crash every honest node at one instant."""
    world.counts["power_cuts"] += 1
    for member in world.honest:
        world.nodes[member].crash()
