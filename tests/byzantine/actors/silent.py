"""Hears everything and says nothing."""

from typing_extensions import override

from consensus.messages import Message
from tests.byzantine.actors.actor import Actor


class Silent(Actor):
    """Nobody hears of it; it follows the ledger all the same."""

    name = "silent"

    @override
    def publish(self, message: Message) -> None:
        del message
        self.acts += 1

    @override
    def send(self, target: int, message: Message) -> None:
        del target, message
        self.acts += 1
