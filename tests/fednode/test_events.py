"""Where events go: a line each, and never in the way of a vote (rule P93)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from fednode import events
from fednode.cli.run import _json_lines
from fednode.events import LINES_WAITING_MAX, VOTES_REMEMBERED, JsonLines, Plain, VotesOnce


class Told:
    """An event sink that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Plain]]] = []

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        self.events.append((kind, fields))


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


def vote(voter: int, view: int, *, phase: str = "PREPARE") -> dict[str, Plain]:
    about: dict[str, Plain] = {"height": 7, "view": view, "phase": phase, "block_id": "ab"}
    return {"voter": voter, "reason": "", **about}


def test_each_vote_is_told_once_however_often_it_is_said_again() -> None:
    """Rules P35 and P37."""
    told = Told()
    once = VotesOnce(told)
    votes = [vote(1, 0), vote(1, 0, phase="COMMIT"), vote(2, 0), vote(1, 1)]

    for each in (*votes, *votes):
        once.emit("vote", each)
    for _ in range(2):
        once.emit("error", {"text": "again"})

    assert told.events == [
        *(("vote", each) for each in votes),
        *[("error", {"text": "again"})] * 2,
    ]


def test_votes_of_a_liar_without_end_are_forgotten_before_those_of_others() -> None:
    told = Told()
    once = VotesOnce(told)
    once.emit("vote", vote(1, 0))

    for view in range(10 * VOTES_REMEMBERED):
        once.emit("vote", vote(2, view))
    once.emit("vote", vote(1, 0))

    assert len(told.events) == 1 + 10 * VOTES_REMEMBERED
    assert len(once._told[2]) == VOTES_REMEMBERED


def test_a_run_tells_programs_each_vote_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    with _json_lines(str(path), 3) as sink:
        for _ in range(3):
            sink.emit("vote", vote(1, 0))

    assert len(path.read_text().splitlines()) == 1
