"""Show a running network: a live table on a terminal, plain lines elsewhere, or nothing."""

import json
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fednode.testnet.view import PHASE_NAMES, Event, HeightView, MemberView, NetworkView

REFRESH_PER_S: Final = 8
MEMBERS_SHOWN_MAX: Final = 16
OTHER_LINES: Final = 12
"""Lines of the terminal that are not rows of heights or members."""
HEIGHTS_SHOWN_MIN: Final = 4
BAR_WIDTH_MAX: Final = 20
TABLE_WIDTH: Final = 80
"""Columns of the terminal that the tables take without bars."""


class Display(Protocol):
    """Follows a network."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture as it is."""

    def happened(self, event: Event, view: NetworkView) -> None:
        """Show what an event changed."""


class LiveDisplay:
    """A table on a terminal that changes in place.

    Args:
        console: The terminal.
        title: First line.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._view: NetworkView | None = None

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESH_PER_S,
            get_renderable=self._picture,
            vertical_overflow="crop",
        )
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture as it is."""
        self._live.stop()

    def happened(self, event: Event, view: NetworkView) -> None:
        """Show what an event changed, with the next refresh."""
        del event
        self._view = view

    def _picture(self) -> RenderableType:
        if self._view is None:
            return Text(self._title)
        rows = self._console.height - OTHER_LINES - min(len(self._view.members), MEMBERS_SHOWN_MAX)
        bar = max(0, min(BAR_WIDTH_MAX, self._console.width - TABLE_WIDTH))
        return render(self._view, self._title, heights=max(HEIGHTS_SHOWN_MIN, rows), bar=bar)


class PlainLog:
    """One line per height and per noteworthy event.

    Args:
        say: Takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is left to do."""

    def happened(self, event: Event, view: NetworkView) -> None:
        """Write a line if the event is worth one."""
        match event.get("event"):
            case "scored":
                self._say(height_line(view.heights[int(event["height"])], view))
            case "process":
                name = view.members[int(event["member"])].name
                self._say(f"{name} runs as process {event['process_id']}")
            case "broker":
                self._say(f"broker {event['url']}")
            case "killed":
                self._say(str(event["text"]))
            case "exit":
                name = view.members[int(event["member"])].name
                self._say(f"{name} ended: {event['words']} (see {event['log']})")
            case _:
                return


class EventLines:
    """Every event as one line of JSON.

    Args:
        say: Takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is left to do."""

    def happened(self, event: Event, view: NetworkView) -> None:
        """Write the event."""
        del view
        self._say(json.dumps(event, separators=(",", ":")))


def silence(line: str) -> None:
    """Show nothing."""
    del line


def height_line(height: HeightView, view: NetworkView) -> str:
    """Return a committed height in one line."""
    block = height.block
    outliers = f", outlier {_numbers(block.flagged)}" if block.flagged else ""
    accuracy = "" if height.accuracy is None else f", accuracy {height.accuracy:.3f}"
    return (
        f"height {block.height}: training round {block.training_round} ({block.kind}), proposer "
        f"{view.members[block.proposer].name}, signed by {_numbers(block.signers)}, updates of "
        f"{_numbers(block.included)}{outliers}{accuracy}, {height.seconds:.1f} s"
    )


def render(view: NetworkView, title: str, *, heights: int, bar: int) -> RenderableType:
    """Return the whole picture.

    Args:
        view: What to show.
        title: First line.
        heights: How many of the newest heights are shown.
        bar: Characters of a bar that stands for 100 %.
    """
    return Group(
        Text(title, style="bold"),
        _height_table(view, heights, bar),
        Text(""),
        _open_line(view),
        _member_table(view, bar),
    )


def _height_table(view: NetworkView, shown: int, bar: int) -> Table:
    table = _table()
    for name in ("height", "training"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("proposer", "signed by", "updates of", "outlier", "accuracy"):
        table.add_column(name, no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for number in sorted(view.heights)[-shown:]:
        height = view.heights[number]
        block = height.block
        is_empty = block.kind == "EMPTY"
        table.add_row(
            str(number),
            "none" if is_empty else f"{block.training_round} of {view.training_rounds}",
            view.members[block.proposer].name,
            _numbers(block.signers),
            _numbers(block.included),
            Text(_numbers(block.flagged), style="red"),
            _accuracy(height.accuracy, bar),
            f"{height.seconds:.1f}",
        )
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def _accuracy(accuracy: float | None, bar: int) -> Text:
    if accuracy is None:
        return Text("")
    return Text(f"{accuracy:.3f} ").append(_bar(accuracy, bar), style="green")


def _open_line(view: NetworkView) -> Text:
    if view.is_done:
        return Text("All training rounds are committed.", style="bold green")
    opened = view.open
    if not opened.phase:
        ready = sum(each.is_connected for each in view.members)
        return Text(f"starting: {ready} of {len(view.members)} nodes have loaded their rows")
    proposer = "" if opened.proposer is None else f", proposer {_name(view, opened.proposer)}"
    return Text(f"now: height {opened.height}, view {opened.view}{proposer}: {opened.phase}")


def _member_table(view: NetworkView, bar: int) -> Table:
    table = _table()
    for name in ("member", "process", "height", "voting power", *PHASE_NAMES, ""):
        table.add_column(name.lower() if name in PHASE_NAMES else name)
    powers = view.powers
    total = sum(powers.values())
    for number, member in list(enumerate(view.members))[:MEMBERS_SHOWN_MAX]:
        share = powers.get(number, 0) / total if total else 0.0
        votes = [
            "voted" if number in view.open.votes.get(phase, ()) else "" for phase in PHASE_NAMES
        ]
        table.add_row(
            f"{number} {member.name}",
            str(member.process_id or ""),
            str(member.height),
            f"{share:5.1%} {_bar(share, bar)}" if total else "",
            *votes,
            _state(member),
        )
    return table


def _state(member: MemberView) -> Text:
    if not member.is_running and member.process_id is not None:
        return Text(member.last_words or "ended", style="red")
    words = []
    if member.is_running and not member.is_connected:
        words.append("starting")
    if member.is_liar:
        words.append("lies")
    if member.restarts:
        words.append(f"restarted {member.restarts} times" if member.restarts > 1 else "restarted")
    return Text(", ".join(words), style="yellow")


def _bar(share: float, width: int) -> str:
    return "█" * round(width * min(1.0, max(0.0, share)))


def _name(view: NetworkView, number: int) -> str:
    return view.members[number].name if number < len(view.members) else str(number)


def _numbers(numbers: Iterable[int]) -> str:
    return " ".join(str(number) for number in numbers)
