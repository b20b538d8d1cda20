"""Says everything up to three seconds late."""

from typing_extensions import override

from tests.byzantine.actors.actor import Actor

SLOW_MS_MAX = 3_000


class Slow(Actor):
    """Each packet is late by an amount of its own, so that they also overtake each other."""

    name = "slow"

    @override
    def delay_ms(self) -> int:
        self.acts += 1
        return int(self.stage.rng.random() * SLOW_MS_MAX)
