"""Proposers that are dead, silent, slow, two-faced or wrong: the height ends in a later view."""

from dataclasses import replace

import pytest
from typing_extensions import override

from consensus.effects import BuildBlock
from ledger.election import schedule
from ledger.records import Block, BlockKind
from ledger.state import initial_state
from tests.byzantine.actors.actor import Actor
from tests.simulation.byzantine import ByzantineNode
from tests.simulation.contracts import make_contract
from tests.simulation.settings import Settings
from tests.simulation.world import World

HEIGHT_MS = 30_000


def settings_with_first_proposer(strategy: str, *, validators: int = 4) -> Settings:
    """A calm network in which the proposer of height 1 and view 0 follows `strategy`."""
    honest = Settings(seed=11, validators=validators, samples=(100,) * validators)
    honest = replace(honest, skews_ms=(0,) * validators)
    contract = make_contract(honest)
    first = schedule(contract, initial_state(contract))[0]
    return replace(honest, byzantine=((first, strategy),), faulty_ms=1)


def decide(world: World, height: int, *, within_ms: int = HEIGHT_MS) -> None:
    """Run until every honest node decided `height`."""
    nodes = [world.nodes[member] for member in world.honest]
    world.run_until(lambda: all(node.height >= height for node in nodes), within_ms=within_ms)


def first_block(world: World) -> Block:
    return world.nodes[world.honest[0]].disk.block_at(1)


@pytest.mark.parametrize("validators", [4, 7])
@pytest.mark.parametrize("strategy", ["silent", "wrong_aggregate", "equivocator", "nuller", "slow"])
def test_a_height_ends_although_its_first_proposer_is_bad(strategy: str, validators: int) -> None:
    world = World(settings_with_first_proposer(strategy, validators=validators))
    world.start()

    decide(world, 3)

    world.end()
    assert first_block(world).header.kind is BlockKind.AGGREGATE


@pytest.mark.parametrize("strategy", ["silent", "wrong_aggregate"])
def test_a_proposer_that_offers_nothing_useful_costs_exactly_one_view(strategy: str) -> None:
    world = World(settings_with_first_proposer(strategy))
    world.start()

    decide(world, 1)

    assert first_block(world).header.created_view == 1


def test_a_height_ends_although_its_first_proposer_is_dead() -> None:
    settings = settings_with_first_proposer("silent")
    world = World(settings)
    world.start()
    world.nodes[settings.byzantine[0][0]].leave()

    decide(world, 3)

    assert first_block(world).header.created_view == 1


def test_a_withheld_block_is_decided_or_replaced_and_no_height_is_lost() -> None:
    world = World(settings_with_first_proposer("withholder"))
    world.start()

    decide(world, 3)

    assert first_block(world).header.kind is BlockKind.AGGREGATE


def test_empty_in_view_0_is_refused_when_enough_updates_are_held() -> None:
    """Rule P15: no proposer can void a healthy training round."""
    settings = settings_with_first_proposer("silent")
    world = World(settings)
    node = world.nodes[settings.byzantine[0][0]]
    assert isinstance(node, ByzantineNode)
    node.actor = Voider(node)
    world.start()

    decide(world, 1)

    header = first_block(world).header
    assert (header.kind, header.created_view) == (BlockKind.AGGREGATE, 1)


class Voider(Actor):
    """Offers an EMPTY block whatever its peers hold."""

    @override
    def built(self, order: BuildBlock, block: Block) -> Block:
        return self.stage.make(replace(order, kind=BlockKind.EMPTY))


def test_a_trainer_that_sends_two_updates_is_in_the_block_and_does_not_count() -> None:
    """Rule P12a: a filtered header is carried by a valid block; training goes on without it."""
    honest = settings_with_first_proposer("silent", validators=7)
    world = World(replace(honest, byzantine=((3, "equivocator"),)))
    liar = world.nodes[3]
    assert isinstance(liar, ByzantineNode)
    # Three of seven hold the one update and three the other: each side is blocking.
    liar.half = frozenset({0, 1, 2})
    world.start()

    decide(world, 4)

    world.end()
    blocks = [world.nodes[0].disk.block_at(height) for height in range(1, 5)]
    carried = [[each.statement.trainer for each in block.updates] for block in blocks]
    counted = [[each.trainer for each in block.header.results.contributions] for block in blocks]
    assert any(trainers.count(3) == 2 for trainers in carried)
    assert all(
        3 not in count
        for count, trainers in zip(counted, carried, strict=True)
        if trainers.count(3) == 2
    )
    assert all(block.header.kind is BlockKind.AGGREGATE for block in blocks)
