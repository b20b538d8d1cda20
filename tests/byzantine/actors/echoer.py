"""Tells each voter in private that it agrees, in both phases."""

from dataclasses import replace

from typing_extensions import override

from consensus.messages import VoteMessage
from ledger.records import FRESH, Phase, Vote
from tests.byzantine.actors.actor import Actor, Stage
from tests.simulation.packets import Packet


class Echoer(Actor):
    """Signs whatever an honest member votes for."""

    name = "echoer"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._echoed: set[tuple[int, Vote]] = set()

    @override
    def heard(self, source: int, packet: Packet) -> None:
        if not isinstance(packet, VoteMessage) or source in self.stage.accomplices:
            return
        vote = packet.vote.statement
        if (source, vote) in self._echoed:
            return
        self._echoed.add((source, vote))
        self.acts += 1
        commit = replace(vote, phase=Phase.COMMIT, valid_view=FRESH)
        for each in (vote, commit):
            self.stage.say_to(source, VoteMessage(vote=self.stage.raw_sign(each), reason=""))
