"""Time as an argument: the wall clock for block times, a monotonic one for waits."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a node takes its time from."""

    def now_ms(self) -> int:
        """Return the wall-clock time in milliseconds since 1970."""

    def monotonic_ms(self) -> int:
        """Return a time in milliseconds that never goes back."""


class SystemClock:
    """The computer's own clocks."""

    def now_ms(self) -> int:
        """Return the wall-clock time in milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return a time in milliseconds that never goes back."""
        return time.monotonic_ns() // 1_000_000
