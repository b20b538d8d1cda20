"""What a running node tells people and programs: one JSON object per line (`--events`)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias

from fednode.clock import Clock

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


class EventSink(Protocol):
    """Takes events; must not block and must not fail."""

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Record one event."""


class JsonLines:
    """Writes each event as one line of JSON and flushes it, so that a follower sees it at once."""

    def __init__(self, stream: TextIO, *, member: int, clock: Clock) -> None:
        self._stream = stream
        self._member = member
        self._clock = clock

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Write one line."""
        # Monotonic, and one clock for all processes of a machine: differences mean something.
        at_ms = self._clock.monotonic_ms()
        event = {"event": kind, "member": self._member, "at_ms": at_ms, **fields}
        self._stream.write(json.dumps(event, separators=(",", ":")) + "\n")
        self._stream.flush()


class StatusFile:
    """Keeps the newest event of each kind in a small file for `fednode status`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: dict[str, Plain] = {}

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Replace the file by one that has this event as the newest of its kind."""
        self._newest[kind] = dict(fields)
        partial = self._path.with_suffix(".tmp")
        partial.write_text(json.dumps(self._newest), encoding="utf-8")
        partial.replace(self._path)


class Fanout:
    """Hands each event to several sinks."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = sinks

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Hand the event to every sink."""
        for sink in self._sinks:
            sink.emit(kind, fields)
