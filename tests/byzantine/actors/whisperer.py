"""Publishes nothing, but tells one member everything."""

from typing_extensions import override

from consensus.messages import Message
from tests.byzantine.actors.actor import Actor


class Whisperer(Actor):
    """To all but its favourite it seems to be silent."""

    name = "whisperer"

    @override
    def publish(self, message: Message) -> None:
        self.acts += 1
        self.stage.say_to(self.stage.favourite, message)
