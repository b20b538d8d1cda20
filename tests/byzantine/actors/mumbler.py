"""Tells one member everything, once."""

from typing_extensions import override

from consensus.messages import Message
from tests.byzantine.actors.actor import Stage
from tests.byzantine.actors.whisperer import Whisperer


class Mumbler(Whisperer):
    """A whisperer that says nothing again: what its favourite forgets, nobody knows any more."""

    name = "mumbler"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._said: set[Message] = set()

    @override
    def publish(self, message: Message) -> None:
        if message not in self._said:
            self._said.add(message)
            super().publish(message)
