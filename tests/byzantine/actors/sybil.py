"""Takes keys of its own making into its blocks as new members that nobody else agreed to."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.effects import BuildBlock
from ledger.building import with_outcome
from ledger.genesis import Role
from ledger.operations import (
    NO_SIGNATURE,
    Agreed,
    Approval,
    Join,
    operation_id,
    operations_root,
    with_possession,
)
from ledger.records import Block
from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.measures import Measure
from tests.simulation.scheme import make_key

if TYPE_CHECKING:
    from tests.simulation.world import World

EXPIRY_AHEAD = 50


class Sybil(Actor):
    """Each JOIN has its own approval, and in every second block some with others' numbers too."""

    name = "sybil"
    heights = 12

    @override
    def built(self, order: BuildBlock, block: Block) -> Block:
        self.acts += 1
        stage, state = self.stage, self.stage.state
        key = make_key(sha256(b"sybil %d" % order.height).digest(), is_real=False)
        join = Join(
            public_key=key.public_key,
            name=f"sybil-{order.height}",
            roles=int(Role.TRAINER | Role.VALIDATOR),
            samples=100,
            expiry=order.height + EXPIRY_AHEAD,
            possession=NO_SIGNATURE,
        )
        join = with_possession(join, key, state.chain_id)
        own = stage.raw_sign(Approval(operation_id=operation_id(join, state.chain_id)))
        numbers = range(stage.members) if self.acts % 2 else (stage.number,)
        approvals = tuple(replace(own, signer=number) for number in numbers)
        operations = (Agreed(operation=join, approvals=approvals),)
        header = replace(block.header, operations_root=operations_root(operations, ()))
        return with_outcome(
            stage.contract, state, replace(block, header=header, operations=operations, readies=())
        )

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """Keys that became members, pending ones too (rule P81)."""
        del liars
        members = world.checkers.states[-1].membership.members
        return Measure(
            what="keys taken in that no quorum agreed to",
            value=len(members) - world.settings.members,
            limit=0,
        )
