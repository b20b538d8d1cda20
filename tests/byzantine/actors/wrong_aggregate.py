"""Proposes blocks with results that nobody else finds."""

from typing_extensions import override

from consensus.effects import BuildBlock
from ledger.records import Block
from tests.byzantine.actors.actor import Actor


class WrongAggregate(Actor):
    """Claims a model that does not follow from the updates."""

    name = "wrong_aggregate"

    @override
    def built(self, order: BuildBlock, block: Block) -> Block:
        self.acts += 1
        return self.stage.make(order, is_wrong=True)
