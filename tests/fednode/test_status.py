"""What a node last knew: from its events to its status file, and who is missing."""

import logging
import os
from pathlib import Path

import pytest

from fednode.status import (
    SILENCE_MS,
    WRITE_PAUSE_MS,
    Heard,
    LastError,
    Status,
    StatusBoard,
    is_running,
    load_status,
    silent_members,
)

START_MS = 1_000_000


class FakeClock:
    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def board(tmp_path: Path, clock: FakeClock) -> StatusBoard:
    return StatusBoard(tmp_path / "status.json", clock)


def written(tmp_path: Path) -> Status:
    status = load_status(tmp_path / "status.json")
    assert status is not None
    return status


def test_phase_is_written_with_its_time(
    board: StatusBoard, clock: FakeClock, tmp_path: Path
) -> None:
    clock.ms += 5
    board.emit("phase", {"height": 3, "view": 1, "phase": "prepare", "proposer": 2})

    status = written(tmp_path)

    assert (status.height, status.view, status.phase) == (3, 1, "prepare")
    assert (status.started_ms, status.phase_since_ms) == (START_MS, START_MS + 5)
    assert status.process_id == os.getpid()


def test_votes_are_remembered_by_member_and_rewrite_the_file_now_and_then(
    board: StatusBoard, clock: FakeClock, tmp_path: Path
) -> None:
    board.emit("vote", {"height": 3, "view": 0, "phase": "PREPARE", "voter": 0})
    clock.ms += WRITE_PAUSE_MS - 1
    board.emit("vote", {"height": 3, "view": 0, "phase": "PREPARE", "voter": 1})
    early = written(tmp_path)
    clock.ms += 1
    board.emit("vote", {"height": 3, "view": 0, "phase": "PREPARE", "voter": 2})
    late = written(tmp_path)

    assert set(early.heard) == {"0"}
    assert set(late.heard) == {"0", "1", "2"}
    assert late.heard["1"] == Heard(height=3, time_ms=START_MS + WRITE_PAUSE_MS - 1)


def test_connections_errors_and_the_end_are_told(board: StatusBoard, tmp_path: Path) -> None:
    board.emit("connected", {"lane": "control"})
    board.emit("disconnected", {"lane": "control", "reason": "refused"})
    board.emit("error", {"text": "first"})
    board.emit("error", {"text": "second"})
    board.close("stopped by a signal")

    status = written(tmp_path)

    assert status.lanes == {"control": "lost: refused"}
    assert status.error is not None
    assert status.error.text == "second"
    assert status.stopped == "stopped by a signal"
    assert not is_running(status)


def test_unknown_events_change_nothing(board: StatusBoard, tmp_path: Path) -> None:
    board.emit("model", {"height": 3, "model_id": "00"})

    assert load_status(tmp_path / "status.json") is None


def test_warnings_of_the_log_become_the_last_error(board: StatusBoard, tmp_path: Path) -> None:
    logger = logging.getLogger("test_status")
    handler = LastError(board)
    logger.addHandler(handler)
    try:
        logger.warning("height=%d: training failed", 3)
        logger.info("fine")
    finally:
        logger.removeHandler(handler)

    error = written(tmp_path).error

    assert error is not None
    assert error.text == "height=3: training failed"


def test_full_disk_does_not_stop_the_board(board: StatusBoard, tmp_path: Path) -> None:
    (tmp_path / "status.tmp").mkdir()

    board.emit("phase", {"height": 1, "view": 0, "phase": "collect"})

    assert board.status.height == 1
    assert load_status(tmp_path / "status.json") is None


def test_status_of_a_process_that_is_gone_is_not_running(board: StatusBoard) -> None:
    assert is_running(board.status)
    # One more than the largest process id that Linux gives.
    assert not is_running(board.status.model_copy(update={"process_id": 2**22 + 1}))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"height": "3"}'])
def test_file_that_is_no_status_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "status.json").write_bytes(content)

    assert load_status(tmp_path / "status.json") is None


def status_with(heard: dict[int, tuple[int, int]], *, height: int) -> Status:
    return Status(
        process_id=1,
        started_ms=START_MS - SILENCE_MS,
        updated_ms=START_MS,
        height=height,
        heard={
            str(member): Heard(height=at, time_ms=START_MS + ms)
            for member, (at, ms) in heard.items()
        },
    )


@pytest.mark.parametrize(
    ("desc", "heard", "missing"),
    [
        ("nobody has voted yet at this height", {0: (4, 0), 1: (4, 0), 2: (4, 0)}, {}),
        ("one missed the height before", {0: (4, 0), 1: (3, -9), 2: (4, 0)}, {1: -9}),
        ("one was never heard", {0: (4, 0), 2: (4, 0)}, {1: None}),
        ("one is a little later", {0: (5, SILENCE_MS), 1: (5, 9), 2: (4, 0)}, {}),
        ("one is silent", {0: (5, 20_000), 1: (5, 20_009), 2: (4, 0)}, {2: 0}),
        ("one voted here and is silent now", {0: (5, 20_000), 1: (5, 9), 2: (5, 19_000)}, {1: 9}),
    ],
)
def test_missing_is_who_should_have_voted(
    desc: str,
    heard: dict[int, tuple[int, int]],
    missing: dict[int, int | None],
) -> None:
    status = status_with(heard, height=5)

    silent = silent_members(status, (0, 1, 2))

    expected = {member: None if ms is None else START_MS + ms for member, ms in missing.items()}
    assert silent == expected, desc


def test_member_that_never_came_is_missing_at_the_first_height_after_a_while() -> None:
    soon = status_with({0: (1, 0)}, height=1)
    later = status_with({0: (1, 1)}, height=1)

    assert silent_members(soon, (0, 1)) == {}
    assert silent_members(later, (0, 1)) == {1: None}


def test_all_were_heard_before_the_first_height() -> None:
    assert silent_members(status_with({}, height=0), (0, 1)) == {}
