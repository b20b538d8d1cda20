"""Says one thing to one half of the members and another to the rest."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.messages import HaveMessage, Message, ProposalMessage, UpdateMessage, VoteMessage
from ledger.building import Draft, build_block
from ledger.records import FRESH, Block, HaveList, block_id
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.echoer import Echoer
from tests.byzantine.actors.measures import Measure, blocks_to_ban
from tests.byzantine.actors.nuller import nil_vote

if TYPE_CHECKING:
    from tests.simulation.world import World


class Equivocator(Echoer):
    """Has a second statement for each of its own, and agrees in private with whoever votes."""

    name = "equivocator"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._twins: dict[bytes, bytes] = {}

    @override
    def publish(self, message: Message) -> None:
        other = self.other(message)
        self.acts += other is not message
        for target in range(self.stage.members):
            self.stage.say_to(target, message if target in self.stage.half else other)

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        return blocks_to_ban(world, [each.stage.number for each in liars])

    def other(self, message: Message) -> Message:
        """Return what the other half is told instead."""
        own = self.stage.number
        match message:
            case ProposalMessage() if message.proposal.signer == own:
                return self._twin(message)
            case VoteMessage():
                vote = message.vote.statement
                twin = self._twins.get(vote.block_id)
                if twin is None:
                    return nil_vote(self.stage, message)
                signed = self.stage.raw_sign(replace(vote, block_id=twin))
                return VoteMessage(vote=signed, reason="")
            case HaveMessage():
                have = HaveList(height=message.have.statement.height, entries=())
                return HaveMessage(have=self.stage.raw_sign(have))
            case UpdateMessage() if message.update.signer == own:
                header = message.update.statement
                other = replace(header, update_id=self.stage.other_body(header.update_id))
                return UpdateMessage(update=self.stage.raw_sign(other))
            case _:
                return message

    def _twin(self, message: ProposalMessage) -> Message:
        """A second block for the same view, different in its time."""
        statement, state = message.proposal.statement, self.stage.state
        header = message.block.header
        is_own = header.created_view == statement.view and header.height == state.height + 1
        if statement.valid_view != FRESH or not is_own:
            return message
        block = later_block(self.stage, message.block)
        own_id = block_id(block.header)
        self._twins[statement.block_id] = own_id
        return ProposalMessage(
            proposal=self.stage.raw_sign(replace(statement, block_id=own_id)),
            block=block,
            certificate=message.certificate,
        )


def later_block(stage: Stage, block: Block) -> Block:
    """Return the same block but for its time, a millisecond later."""
    header = block.header
    draft = Draft(
        view=header.created_view,
        kind=header.kind,
        time_ms=header.time_ms + 1,
        haves=block.haves,
        updates=block.updates,
        last_certificate=next(iter(block.last_certificate), None),
        results=header.results,
        evidence=block.evidence,
        operations=block.operations,
        readies=block.readies,
        metrics=block.metrics,
    )
    return build_block(stage.contract, stage.state, draft)
