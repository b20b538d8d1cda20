"""Votes for blocks before one member, nil before everybody else."""

from typing_extensions import override

from consensus.messages import CertificateMessage, Message, ProposalMessage, VoteMessage
from tests.byzantine.actors.amnesiac import Amnesiac
from tests.byzantine.actors.nuller import nil_vote

CUT_MS_MAX = 4_000


class Favourer(Amnesiac):
    """Its favourite locks, and all others are told at once that there is nothing to wait for."""

    name = "favourer"

    @override
    def publish(self, message: Message) -> None:
        match message:
            case VoteMessage() | CertificateMessage():
                self.stage.say_to(self.stage.favourite, message)
                self._discourage(message)
                self.acts += 1
            case ProposalMessage():
                self._favour(self.forget(message))
                self.acts += 1
            case _:
                self.stage.say(message)

    def _discourage(self, message: VoteMessage | CertificateMessage) -> None:
        """Tell everybody but the favourite that one votes nil."""
        if isinstance(message, VoteMessage):
            for target in self._others():
                self.stage.say_to(target, nil_vote(self.stage, message))

    def _favour(self, message: Message) -> None:
        """Let the favourite alone see a quorum, and have the broker drop what it then says."""
        stage, validators = self.stage, self.stage.state.validators
        power = sum(map(validators.power_of, (stage.favourite, *stage.accomplices)))
        stage.say_to(stage.favourite, message)
        for target in self._others():
            if not validators.has_quorum(power):
                stage.say_to(target, message)
                power += validators.power_of(target)
        members = range(stage.members)
        links = {(stage.favourite, each) for each in members if each != stage.favourite}
        stage.cut(links, CUT_MS_MAX)

    def _others(self) -> list[int]:
        """The honest members that are not the favourite."""
        favoured = {self.stage.favourite, *self.stage.accomplices}
        return [each for each in range(self.stage.members) if each not in favoured]
