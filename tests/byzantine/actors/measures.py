"""What an actor achieved in a run, as one number beside the most that the protocol concedes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.election import schedule
from ledger.records import Block
from tests.simulation.checkers import BAN_BLOCKS

if TYPE_CHECKING:
    from tests.simulation.world import World

NEVER = 10**6
"""Stands for what did not happen at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number and its bound.

    Attributes:
        what: What is counted, in words.
        value: What the actor achieved.
        limit: The most that the protocol concedes.
        note: What else a reader should see.
    """

    what: str
    value: int
    limit: int
    note: str = ""

    @property
    def is_held(self) -> bool:
        """Whether the protocol kept its promise."""
        return self.value <= self.limit


def decided(world: "World") -> Iterator[Block]:
    """Yield the blocks that the first honest member holds."""
    node = world.nodes[world.honest[0]]
    for height in range(1, node.height + 1):
        yield node.disk.block_at(height)


def lost_views(world: "World") -> Measure:
    """Views that passed without a decision although an honest member proposed in them."""
    lost, conceded = 0, 0
    for block in decided(world):
        header = block.header
        order = schedule(world.contract, world.checkers.state_before(header.height))
        for view in range(header.created_view):
            is_honest = order[view % len(order)] in world.honest
            lost += is_honest
            conceded += not is_honest
    return Measure(
        what="views of honest proposers lost",
        value=lost,
        limit=0,
        note=f"{conceded} of its own",
    )


def blocks_to_ban(world: "World", liars: Sequence[int]) -> Measure:
    """Blocks of honest proposers from a contradiction that is in a block to that block."""
    found = dict.fromkeys(liars, NEVER)
    for block in decided(world):
        for evidence in block.evidence:
            since = evidence.first.statement.height
            found[evidence.first.signer] = sum(
                since < each.header.height <= block.header.height
                and each.header.proposer in world.honest
                for each in decided(world)
            )
    return Measure(
        what="blocks of honest proposers to its ban", value=max(found.values()), limit=BAN_BLOCKS
    )
