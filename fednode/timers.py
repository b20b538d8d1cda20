"""The engine's timers on the event loop."""

import asyncio
from collections.abc import Callable

from consensus.effects import Timer


class Timers:
    """At most one running wait per timer; setting it again starts it anew.

    Args:
        on_fire: Called on the event loop with the timer that ran out.
    """

    def __init__(self, on_fire: Callable[[Timer], None]) -> None:
        self._on_fire = on_fire
        self._handles: dict[Timer, asyncio.TimerHandle] = {}

    def set(self, timer: Timer, delay_ms: int) -> None:
        """Fire `timer` after `delay_ms`."""
        self._cancel(timer)
        loop = asyncio.get_running_loop()
        self._handles[timer] = loop.call_later(delay_ms / 1000, self._fire, timer)

    def cancel_through(self, height: int) -> None:
        """Forget the timers of this height and of those before it.

        A timer of height 0, such as the one of rule P35, belongs to no height and runs on.
        """
        for timer in [each for each in self._handles if 1 <= each.height <= height]:
            self._cancel(timer)

    def cancel_all(self) -> None:
        """Forget every timer."""
        for timer in list(self._handles):
            self._cancel(timer)

    def _cancel(self, timer: Timer) -> None:
        handle = self._handles.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _fire(self, timer: Timer) -> None:
        self._handles.pop(timer, None)
        self._on_fire(timer)
