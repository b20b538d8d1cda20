"""Announces its update in time and gives the body long after nobody could wait any longer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.messages import Message, UpdateMessage
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure

if TYPE_CHECKING:
    from tests.simulation.world import World

COLLECT_WAITS = 3
SLACK_MS = 1_500
"""What a height takes besides collecting: training before it, votes and recomputation after."""


class LateRevealer(Actor):
    """Holds every height up to the end of the collect wait: the documented cost of rule P11."""

    name = "late_revealer"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._reveal_ms: dict[bytes, int] = {}

    @override
    def publish(self, message: Message) -> None:
        if isinstance(message, UpdateMessage) and message.update.signer == self.stage.number:
            body = message.update.statement.update_id
            wait_ms = COLLECT_WAITS * self.stage.contract.timeouts.collect_ms
            if body not in self._reveal_ms:
                self._reveal_ms[body] = self.stage.now_ms() + wait_ms
                self.stage.later(wait_ms, self._reveal, body)
                self.acts += 1
        self.stage.say(message)

    @override
    def gives_body(self, target: int, body_id: bytes) -> bool:
        return self.stage.now_ms() >= self._reveal_ms.get(body_id, 0)

    def _reveal(self, body: bytes) -> None:
        for target in range(self.stage.members):
            if target != self.stage.number:
                self.stage.give_body(target, body)

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """The longest height; how many were held to the end of the collect wait."""
        del liars
        took_ms, wait_ms = world.checkers.durations_ms(), world.contract.timeouts.collect_ms
        held = sum(each >= wait_ms for each in took_ms)
        return Measure(
            what="ms of the longest height",
            value=max(took_ms),
            limit=wait_ms + SLACK_MS,
            note=f"{held} of {len(took_ms)} heights held to collect_timeout",
        )
