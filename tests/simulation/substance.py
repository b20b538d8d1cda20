"""What updates and models are made of: nothing but their ids, or real bytes in full-node seeds.

The functions of `tests.simulation.aggregate` stand for training and aggregation where nodes keep
names of bodies only; `tests.simulation.learning` has real ones.
"""

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from consensus.effects import BuildBlock, Train
from consensus.judging import Evaluate, Evaluated
from ledger.genesis import Contract
from ledger.records import Block, BlockKind, UpdateHeader
from ledger.state import State
from tests.simulation import aggregate
from tests.simulation.packets import BodyPush
from tests.simulation.settings import Settings

if TYPE_CHECKING:
    from tests.simulation.node import Node


class Substance(Protocol):
    """How the nodes of a world train, aggregate, judge models and hand on bodies."""

    def train(self, node: "Node", order: Train) -> bytes:
        """Train, make the update durable and return its id."""

    def build(self, node: "Node", order: BuildBlock, *, is_wrong: bool = False) -> Block:
        """Return the block of an order; `is_wrong` claims a model that nobody else will find."""

    def recomputes(self, node: "Node", block: Block) -> bool:
        """Whether the results in a block are those that its bodies make (rule P13)."""

    def keep_model(self, node: "Node", block: Block) -> None:
        """Make the new model of a block durable that was built or found right here."""

    def evaluate(self, node: "Node", asked: Evaluate) -> Evaluated:
        """What a member's rows say of two models."""

    def other_body(self, node: "Node", update_id: bytes) -> bytes:
        """Make another body than the own one of this id, durable, and return its id."""

    def push_of(self, node: "Node", body_id: bytes) -> BodyPush:
        """The packet that brings a body."""

    def keep(self, node: "Node", push: BodyPush) -> bool:
        """Make a body durable that came; False if it is not what it says."""

    def is_update(self, node: "Node", header: UpdateHeader) -> bool:
        """Whether the body of a header, which is here, is one for it (rule P10)."""

    def audit(self, contract: Contract, parent: State, block: Block) -> None:
        """Recompute a decided block from outside.

        Raises:
            ViolationError: If that gives other results, or a model that it must not give.
        """


class Names:
    """Bodies of which nodes have the ids only."""

    def train(self, node: "Node", order: Train) -> bytes:
        update_id = aggregate.update_id_of(node.member, order, node.incarnation)
        node.disk.bodies.add(update_id)
        return update_id

    def build(self, node: "Node", order: BuildBlock, *, is_wrong: bool = False) -> Block:
        return aggregate.build(node.contract, node.state, order, is_wrong=is_wrong)

    def recomputes(self, node: "Node", block: Block) -> bool:
        return aggregate.recomputes(node.contract, node.state, block)

    def keep_model(self, node: "Node", block: Block) -> None:
        if block.header.kind is BlockKind.AGGREGATE:
            node.disk.bodies.add(block.header.results.model_id)

    def evaluate(self, node: "Node", asked: Evaluate) -> Evaluated:
        return aggregate.evaluate(node.member, asked)

    def other_body(self, node: "Node", update_id: bytes) -> bytes:
        other = aggregate.false_body_id(update_id)
        node.disk.bodies.add(other)
        return other

    def push_of(self, node: "Node", body_id: bytes) -> BodyPush:
        del node
        return BodyPush(body_id=body_id)

    def keep(self, node: "Node", push: BodyPush) -> bool:
        node.disk.bodies.add(push.body_id)
        return True

    def is_update(self, node: "Node", header: UpdateHeader) -> bool:
        del node, header
        return True

    def audit(self, contract: Contract, parent: State, block: Block) -> None:
        aggregate.audit(contract, parent, block)


def make_substance(settings: Settings, counts: Counter[str]) -> Substance:
    """What the bodies of a seed are made of; `counts` is told what happens to them."""
    if not settings.is_learning:
        return Names()
    # Only full-node seeds compute with numpy.
    from tests.simulation.learning import Learning

    return Learning(settings, counts)
