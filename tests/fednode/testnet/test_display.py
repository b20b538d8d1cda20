"""What people see of a running network."""

import io

import pytest
from rich.console import Console

from fednode.testnet.display import PlainLog, render
from fednode.testnet.view import NetworkView
from tests.fednode.testnet.test_view import committed, make_view, vote


def picture(view: NetworkView, *, width: int = 100, heights: int = 10, bar: int = 10) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(render(view, "title", heights=heights, bar=bar))
    return capture.get()


def test_picture_shows_heights_votes_powers_and_liars() -> None:
    view = make_view(training_rounds=9)
    view.apply(committed(0, 1), 11.5)
    view.heights[1].accuracy = 0.9
    view.apply({**vote(2, 2), "phase": "COMMIT"}, 12.0)
    phase = {"event": "phase", "member": 0, "height": 2, "view": 0, "phase": "commit"}
    view.apply({**phase, "proposer": 1}, 12.0)

    text = picture(view)

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "1 1 of 9 hospital-2 0 2 0 1 2 1 0.900 █████████ 1.5" in lines
    assert "now: height 2, view 0, proposer hospital-1: commit" in lines
    assert "1 hospital-1 101 0 31.2% ███ starting, lies" in lines
    assert "2 hospital-2 102 0 37.5% ████ voted starting" in lines


def test_picture_keeps_the_newest_heights() -> None:
    view = make_view(training_rounds=99)
    for height in range(1, 31):
        view.apply(committed(0, height), 11.0)

    text = picture(view, heights=4)

    assert [number for number in range(1, 31) if f"\n{number:>6}  " in text] == [27, 28, 29, 30]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_picture_fits_the_terminal(width: int) -> None:
    view = make_view(members=5, training_rounds=10)
    for height in range(1, 11):
        view.apply(
            committed(0, height, included=[0, 1, 2, 3, 4], signers=[0, 1, 2, 3]), 11.0 * height
        )
        view.heights[height].accuracy = 0.987

    text = picture(view, width=width, bar=min(20, width - 80))

    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("0.987") == 10


def test_dead_member_is_shown_with_its_last_words() -> None:
    view = make_view()

    view.apply({"event": "exit", "member": 1, "status": 2, "words": "disk full"}, 11.0)

    assert "disk full" in picture(view)


def test_log_has_a_line_per_height_and_none_per_vote() -> None:
    lines: list[str] = []
    view = make_view(training_rounds=2)
    with PlainLog(lines.append) as log:
        for event in (vote(0, 1), committed(0, 1), committed(1, 1)):
            view.apply(event, 11.0)
            log.happened(event, view)
        view.heights[1].accuracy = 0.5

        log.happened({"event": "scored", "height": 1, "accuracy": 0.5}, view)

    assert lines == [
        "height 1: training round 1 (AGGREGATE), proposer hospital-2, signed by 0 2, "
        "updates of 0 1 2, outlier 1, accuracy 0.500, 1.0 s"
    ]
