"""What a running node tells people and programs: one JSON object per line (`--events`)."""

import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from fednode.clock import Clock

logger = logging.getLogger(__name__)

LINES_WAITING_MAX: Final = 4096
CLOSE_TIMEOUT_S: Final = 1.0
VOTES_REMEMBERED: Final = 64
"""Per member: those that it says again are of the height and view in work (rule P37)."""

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


class EventSink(Protocol):
    """Takes events; must not block and must not fail."""

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Record one event."""


class JsonLines:
    """Writes each event as one line of JSON at once, from a thread of its own.

    A reader that stops reading and a full disk hold up no vote: lines that find no room are
    dropped, and after a failed write nothing more is written.

    Args:
        descriptor: Where the lines go: an open file, pipe or terminal, closed by its owner.
        member: The node's member number.
        clock: Says when things happened.
    """

    def __init__(self, descriptor: int, *, member: int, clock: Clock) -> None:
        self._descriptor = descriptor
        self._member = member
        self._clock = clock
        self._lines: Queue[bytes | None] = Queue(LINES_WAITING_MAX)
        # It may be stuck in a write when the process ends.
        self._thread = Thread(target=self._write_lines, name="events", daemon=True)

    def __enter__(self) -> Self:
        """Start to write."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits, as far as that takes no longer than `CLOSE_TIMEOUT_S`."""
        if self._thread.is_alive():
            with suppress(Full):
                self._lines.put(None, timeout=CLOSE_TIMEOUT_S)
            self._thread.join(CLOSE_TIMEOUT_S)

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Have one line written."""
        # Monotonic, and one clock for all processes of a machine: differences mean something.
        at_ms = self._clock.monotonic_ms()
        event = {"event": kind, "member": self._member, "at_ms": at_ms, **fields}
        with suppress(Full):
            self._lines.put_nowait(json.dumps(event, separators=(",", ":")).encode() + b"\n")

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError as error:
                logger.warning("events are written no longer: %s", error.strerror)
                return


class VotesOnce:
    """Hands events on, and of equal votes only the first: members say theirs again (rule P35).

    Args:
        sink: Takes what is new.
    """

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._told: dict[Plain, deque[tuple[Plain, ...]]] = {}

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Hand on an event, unless it is a vote that was told before."""
        if kind == "vote":
            told = self._told.setdefault(fields["voter"], deque(maxlen=VOTES_REMEMBERED))
            vote = tuple(fields[name] for name in ("height", "view", "phase", "block_id"))
            if vote in told:
                return
            told.append(vote)
        self._sink.emit(kind, fields)


class Fanout:
    """Hands each event to several sinks."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = sinks

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Hand the event to every sink."""
        for sink in self._sinks:
            sink.emit(kind, fields)
