"""What a running node last knew: kept in a small file that `fednode status` reads at any time."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from fednode.clock import Clock
from fednode.events import Plain

STATUS_NAME: Final = "status.json"
WRITE_PAUSE_MS: Final = 250
"""Votes alone do not rewrite the file more often than this."""
SILENCE_MS: Final = 10_000
"""Who was last heard this much before another is missing; several times a rebroadcast period."""
PHASE_DECIDED: Final = "decided"

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Heard(Record):
    """The newest vote of one member: for which height, and when it came."""

    height: Count
    time_ms: Count


class Trouble(Record):
    """Something that a person may have to look at."""

    text: str
    time_ms: Count


class Status(Record):
    """What a node last knew; all times are milliseconds since 1970.

    Attributes:
        process_id: Of the node that wrote it.
        started_ms: When that node started.
        updated_ms: When this was written.
        height: The height that is worked on, 0 before the first.
        view: Attempt at this height.
        phase: What the node does there.
        phase_since_ms: Since when.
        heard: By member number, its newest vote.
        lanes: By connection, `connected`, or why it is not.
        error: The newest error.
        stopped: Why the node ended; empty while it runs.
    """

    process_id: int
    started_ms: Count
    updated_ms: Count
    height: Count = 0
    view: Count = 0
    phase: str = "starting"
    phase_since_ms: Count = 0
    heard: dict[str, Heard] = Field(default_factory=dict)
    lanes: dict[str, str] = Field(default_factory=dict)
    error: Trouble | None = None
    stopped: str = ""


class StatusBoard:
    """Turns a node's events into its status file; an `EventSink`.

    Args:
        path: The file.
        clock: Says when things happened.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        now = clock.now_ms()
        self._path = path
        self._clock = clock
        self._written_ms = 0
        self.status = Status(
            process_id=os.getpid(), started_ms=now, updated_ms=now, phase_since_ms=now
        )

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        """Take in one event; write the file at once, or for votes now and then."""
        now = self._clock.now_ms()
        changes = _changes(self.status, kind, fields, now)
        if not changes:
            return
        self.status = self.status.model_copy(update={**changes, "updated_ms": now})
        if kind != "vote" or now - self._written_ms >= WRITE_PAUSE_MS:
            self._write(now)

    def close(self, reason: str) -> None:
        """Write that the node ended, and why."""
        self.emit("stopped", {"reason": reason})

    def _write(self, now: int) -> None:
        partial = self._path.with_suffix(".tmp")
        try:
            partial.write_text(self.status.model_dump_json(), encoding="utf-8")
            partial.replace(self._path)
        except OSError:
            # The disk that the ledger needs is full or gone: the ledger says so, and stops.
            return
        self._written_ms = now


class LastError(logging.Handler):
    """Shows the newest warning or error of the log on a status board."""

    def __init__(self, board: StatusBoard) -> None:
        super().__init__(level=logging.WARNING)
        self._board = board

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Take in one line of the log."""
        self._board.emit("error", {"text": record.getMessage()})


def load_status(path: Path) -> Status | None:
    """Return what a node last wrote; None if it never did, or not as this version does."""
    try:
        return Status.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def is_running(status: Status) -> bool:
    """Return whether the process that wrote a status is still there."""
    if status.stopped:
        return False
    try:
        os.kill(status.process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def silent_members(status: Status, validators: tuple[int, ...]) -> dict[int, int | None]:
    """Return the validators whose votes are missing, with the time of their last one.

    Missing is who has not voted at the height below the current one, or was last heard long before
    another: members repeat their votes until a height is decided (rule P35). None stands for a
    member that never was heard.
    """
    heard = {number: status.heard.get(str(number)) for number in validators}
    newest_ms = max((each.time_ms for each in heard.values() if each), default=0)
    return {
        number: each.time_ms if each else None
        for number, each in heard.items()
        if (each.height if each else 0) < status.height - 1
        or newest_ms - (each.time_ms if each else status.started_ms) > SILENCE_MS
    }


def _changes(status: Status, kind: str, fields: Mapping[str, Plain], now: int) -> dict[str, object]:
    changes: dict[str, object] = {}
    match kind, dict(fields):
        case "vote", {"voter": int(voter), "height": int(height)}:
            heard = Heard(height=height, time_ms=now)
            changes = {"heard": {**status.heard, str(voter): heard}}
        case "phase", {"height": int(height), "view": int(view), "phase": str(phase)}:
            changes = {"height": height, "view": view, "phase": phase, "phase_since_ms": now}
        case "committed", {"height": int(height)}:
            changes = {"height": height, "phase": PHASE_DECIDED, "phase_since_ms": now}
        case "error", {"text": str(text)}:
            changes = {"error": Trouble(text=text, time_ms=now)}
        case "connected", {"lane": str(lane)}:
            changes = {"lanes": {**status.lanes, lane: "connected"}}
        case "disconnected", {"lane": str(lane), "reason": str(reason)}:
            changes = {"lanes": {**status.lanes, lane: f"lost: {reason}"}}
        case "stopped", {"reason": str(reason)}:
            changes = {"stopped": reason, "phase": "stopped", "phase_since_ms": now}
        case _:
            pass
    return changes


def status_json(status: Status) -> dict[str, Plain]:
    """Return a status as plain data."""
    plain: dict[str, Plain] = json.loads(status.model_dump_json())
    return plain
