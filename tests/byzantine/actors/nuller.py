"""Votes nil, whatever is proposed."""

from dataclasses import replace

from typing_extensions import override

from consensus.messages import Message, VoteMessage
from ledger.records import FRESH, NIL
from tests.byzantine.actors.actor import Actor, Stage


class Nuller(Actor):
    """Prepares and commits nothing, and is on time with it."""

    name = "nuller"

    @override
    def publish(self, message: Message) -> None:
        if isinstance(message, VoteMessage):
            message = nil_vote(self.stage, message)
            self.acts += 1
        self.stage.say(message)


def nil_vote(stage: Stage, message: VoteMessage) -> VoteMessage:
    """Return the vote nil in place of a vote."""
    nil = replace(message.vote.statement, block_id=NIL, valid_view=FRESH)
    return VoteMessage(vote=stage.raw_sign(nil), reason="because")
