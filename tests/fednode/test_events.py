"""Where events go: a line each, and never in the way of a vote (rule P93)."""

import json
import os
from pathlib import Path

import pytest

from fednode import events
from fednode.events import LINES_WAITING_MAX, JsonLines


class StoppedClock:
    def now_ms(self) -> int:
        return 5

    def monotonic_ms(self) -> int:
        return 7


def test_each_event_is_one_line_with_member_and_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    with (
        path.open("a") as file,
        JsonLines(file.fileno(), member=3, clock=StoppedClock()) as lines,
    ):
        lines.emit("phase", {"height": 1})
        lines.emit("vote", {"text": "a\nb"})

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"event": "phase", "member": 3, "at_ms": 7, "height": 1},
        {"event": "vote", "member": 3, "at_ms": 7, "text": "a\nb"},
    ]


def test_a_reader_that_stops_reading_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CLOSE_TIMEOUT_S", 0.01)
    reading, writing = os.pipe()

    with JsonLines(writing, member=0, clock=StoppedClock()) as lines:
        for _ in range(2 * LINES_WAITING_MAX):
            lines.emit("error", {"text": "x" * 100})

    # The line in work is cut when this test closes the pipe; what was written before it is whole.
    os.close(reading)
    lines._thread.join()
    os.close(writing)


def test_a_reader_that_is_gone_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with JsonLines(writing, member=0, clock=StoppedClock()) as lines:
        for _ in range(2 * LINES_WAITING_MAX):
            lines.emit("phase", {})
    os.close(writing)

    assert not lines._thread.is_alive()
    assert "events are written no longer: Broken pipe" in caplog.text


def test_a_full_disk_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Path("/dev/full").open("wb", buffering=0) as disk,
        JsonLines(disk.fileno(), member=0, clock=StoppedClock()) as lines,
    ):
        lines.emit("phase", {})

    assert "events are written no longer: No space left on device" in caplog.text
