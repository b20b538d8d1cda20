"""A node whose state folder is lost, is an old copy, or runs twice (rule P60).

What its peers still have keeps it from contradicting itself; without the question it would.
"""

from collections.abc import Callable

import pytest
from typing_extensions import override

from consensus import asking
from consensus.effects import Halt, Notice
from consensus.messages import Message
from tests.simulation.disk import MemoryDisk
from tests.simulation.faults import lose_state
from tests.simulation.node import RESTART_MS_MAX, Node
from tests.simulation.packets import Packet, ViolationError
from tests.simulation.patching import attribute_replaced
from tests.simulation.settings import Settings
from tests.simulation.world import World

SEEDS = range(20)
VICTIM = 0
BACKUP_MS = 50
DECIDE_MS = 120_000


class Watched(Node):
    """A node that may halt, and remembers what it told."""

    def __init__(self, world: World, member: int, disk: MemoryDisk) -> None:
        super().__init__(world, member, disk)
        self.told: list[str] = []
        self.reason = ""

    @override
    def carry_out(self, effect: object) -> None:
        if isinstance(effect, Notice):
            self.told.append(effect.text)
        super().carry_out(effect)  # type: ignore[arg-type]

    @override
    def halt(self, effect: Halt) -> None:
        self.reason = effect.reason
        self.leave()


def made(seed: int, **changes: object) -> World:
    settings = Settings(seed=seed, faulty_ms=1, **changes)  # type: ignore[arg-type]
    return World(settings, node_class=Watched)


def run(world: World, lose: Callable[[World, int], None]) -> None:
    """Start, lose something in the middle of a height, and decide four more heights."""
    world.start()
    at_ms = 1_000 + 97 * (world.settings.seed % 20)
    world.at(at_ms, lose, world, at_ms)
    others = [node for node in world.nodes if node.member != VICTIM]
    world.run_until(
        lambda: world.now > at_ms + RESTART_MS_MAX and all(node.height >= 8 for node in others),
        within_ms=DECIDE_MS,
    )
    world.end()


def restore_after(world: World, _at_ms: int) -> None:
    """Take a copy now; within the same height or a little later it replaces the folder."""
    victim = world.nodes[VICTIM]
    assert isinstance(victim.disk, MemoryDisk)
    backup = victim.disk.copied()
    world.at(BACKUP_MS + 13 * world.settings.seed, lose_state, world, VICTIM, backup)


def lose_folder(world: World, _at_ms: int) -> None:
    lose_state(world, VICTIM, MemoryDisk(world.contract))


FAULTS = {"restored snapshot": restore_after, "lost folder": lose_folder}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_node_that_lost_its_state_takes_part_again_and_never_contradicts_itself(
    fault: str,
) -> None:
    raised = 0
    for seed in SEEDS:
        world = made(seed)

        run(world, FAULTS[fault])

        victim = world.nodes[VICTIM]
        assert isinstance(victim, Watched)
        assert victim.reason == "", f"seed {seed}"
        assert world.counts["lost_states"] == 1
        raised += any("record lacked" in text for text in victim.told)
    assert raised, "peers never showed anything: nothing was tested"


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_without_the_question_it_contradicts_itself(fault: str) -> None:
    """The check above counts because it finds this."""
    contradictions = 0
    with attribute_replaced(asking.Asking, "is_over", lambda _: True):
        for seed in SEEDS:
            try:
                run(made(seed), FAULTS[fault])
            except ViolationError as error:
                contradictions += "equivocation" in str(error)

    assert contradictions


class Doubled(Watched):
    """A member whose key runs on a second machine, too; both receive what one receives."""

    def __init__(self, world: World, member: int, disk: MemoryDisk) -> None:
        super().__init__(world, member, disk)
        self.twin: Watched | None = None

    @override
    def receive(self, source: int, packet: Packet) -> None:
        super().receive(source, packet)
        if self.twin is not None:
            self.twin.receive(source, packet)

    def run_twice(self) -> None:
        assert isinstance(self.disk, MemoryDisk)
        self.twin = Watched(self.world, self.member, self.disk.copied())
        self.twin.has_lost_state = True
        self.twin.start()


def run_doubled(seed: int) -> Doubled:
    """Run a world in which the victim's key comes up on a second machine."""
    world = World(Settings(seed=seed, faulty_ms=1, has_echo=True), node_class=Doubled)
    victim = world.nodes[VICTIM]
    assert isinstance(victim, Doubled)
    run(world, lambda _world, _at_ms: victim.run_twice())
    return victim


def test_of_two_nodes_with_one_key_the_second_stops_before_it_signs() -> None:
    """A broker echoes to both; the first one answers the question that it did not ask."""
    asked = 0
    for seed in SEEDS:
        victim = run_doubled(seed)

        assert victim.twin is not None
        assert "this node's key" in victim.twin.reason
        assert victim.reason == ""
        asked += "another node runs with this node's key" in victim.twin.reason

    # Else a statement of the first one came before its answer.
    assert asked > len(SEEDS) // 2


def test_without_the_question_the_first_one_is_the_one_that_stops_or_both_contradict() -> None:
    harmed = 0
    with (
        attribute_replaced(asking.Asking, "begin", lambda _: None),
        attribute_replaced(asking.Asking, "is_over", lambda _: True),
    ):
        for seed in SEEDS:
            try:
                harmed += bool(run_doubled(seed).reason)
            except ViolationError as error:
                harmed += "equivocation" in str(error)

    assert harmed


def test_nothing_is_signed_before_peers_answered_or_two_periods_passed() -> None:
    for seed in SEEDS:
        world = made(seed)
        alone = world.nodes[VICTIM]
        alone.start()
        said: list[tuple[int, Message]] = []
        original = alone.publish

        def publish(message: Message, *, original: Callable[[Message], None] = original) -> None:
            said.append((world.now, message))  # noqa: B023  # used within this turn
            original(message)

        alone.publish = publish  # type: ignore[method-assign]
        period = world.contract.timeouts.rebroadcast_ms
        world.run_until(lambda: world.now > 6 * period, within_ms=10 * period)  # noqa: B023

        kinds = {type(message).__name__ for now, message in said if now < 2 * period}
        later = {type(message).__name__ for now, message in said if now >= 2 * period}
        assert kinds <= {"StatementsRequestMessage", "StatusMessage"}
        assert "HaveMessage" in later
