"""The checkers see a fork, and they see it without the help of one another."""

from contextlib import AbstractContextManager, ExitStack

import pytest

from consensus.desk import Desk
from ledger.election import schedule
from ledger.state import initial_state
from tests.simulation.byzantine import ByzantineNode
from tests.simulation.checkers import Checkers
from tests.simulation.contracts import make_contract
from tests.simulation.discipline import Discipline
from tests.simulation.mutants import quorum_half
from tests.simulation.packets import ViolationError
from tests.simulation.patching import attribute_replaced
from tests.simulation.settings import Settings
from tests.simulation.world import World

FORK_MS = 30_000


def forking_world() -> World:
    """Three and two honest members that hear of each other from two liars only; one liar leads."""
    calm = Settings(
        seed=41,
        validators=7,
        byzantine_budget=2,
        trainer_budget=0,
        samples=(100,) * 7,
        skews_ms=(0,) * 7,
    )
    contract = make_contract(calm)
    first, second = schedule(contract, initial_state(contract))[:2]
    world = World(
        Settings(
            seed=calm.seed,
            validators=7,
            byzantine_budget=2,
            trainer_budget=0,
            samples=calm.samples,
            skews_ms=calm.skews_ms,
            byzantine=((first, "equivocator"), (second, "echoer")),
        )
    )
    left, right = world.honest[:3], world.honest[3:]
    for node in world.nodes:
        if isinstance(node, ByzantineNode):
            node.half = frozenset(left)
    links = {(a, b) for a in left for b in right}
    world.network.cut(1, frozenset(links | {(b, a) for a, b in links}))
    return world


def deaf_to_evidence() -> AbstractContextManager[None]:
    """Nobody takes up evidence: otherwise the liars would be banned before they fork anything."""
    return attribute_replaced(Desk, "hear_evidence", lambda *_: False)


def test_a_quorum_of_half_the_power_decides_two_blocks_at_one_height() -> None:
    world = forking_world()

    with ExitStack() as patches:
        patches.enter_context(quorum_half())
        patches.enter_context(deaf_to_evidence())
        # Liars whose own lies do not stop their engines (rule P60).
        patches.enter_context(attribute_replaced(Desk, "take_own", lambda *_: None))
        # The other checkers would find the fault earlier.
        for owner, name in ((Discipline, "_check_lock"), (Checkers, "_check_certificate")):
            patches.enter_context(attribute_replaced(owner, name, lambda *_: None))
        world.start()
        with pytest.raises(ViolationError, match="agreement: height"):
            world.run_until(lambda: False, within_ms=FORK_MS)


def test_two_thirds_of_the_power_do_not_fork_under_the_same_attack() -> None:
    world = forking_world()
    left, right = world.honest[:3], world.honest[3:]

    with deaf_to_evidence():
        world.start()
        world.run_until(lambda: world.now >= FORK_MS, within_ms=2 * FORK_MS)

    # The right part may only follow, by certificates that the liars hand on.
    world.end()
    ahead = min(world.nodes[member].height for member in left)
    assert ahead > 0
    assert all(world.nodes[member].height <= ahead for member in right)
