"""What `fednode demo` and `fednode testnet` share: how a run is shown, and its exit code."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fednode.testnet.display import Display
    from fednode.testnet.report import Report
    from fednode.testnet.view import NetworkView
    from ledger.genesis import Contract

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""

EventsOption = Annotated[
    bool, typer.Option("--events", help="Print every event of every node as one line of JSON.")
]


def chooser(*, as_json: bool, events: bool) -> "Callable[[NetworkView, Contract], Display]":
    """Return what makes the display: a live table only where somebody can watch it."""
    from rich.console import Console

    from fednode.testnet.display import EventLines, LiveDisplay, PlainLog, silence

    def choose(view: "NetworkView", contract: "Contract") -> "Display":
        console = Console(highlight=False)
        if events:
            return EventLines(say)
        if as_json:
            return PlainLog(silence)
        if console.is_terminal and not console.is_dumb_terminal:
            rule = contract.aggregation.rule_id
            return LiveDisplay(console, f"{len(view.members)} members, no server, rule {rule}")
        return PlainLog(say)

    return choose


def announce(line: str, *, as_json: bool, events: bool) -> None:
    """Print what is about to happen, unless a program reads."""
    if not (as_json or events):
        say(line)


def finish(report: "Report", lines: "Iterable[str]", *, as_json: bool, events: bool) -> None:
    """Print what came of a run and end the command with its exit code."""
    import json

    from fednode.cli.failures import ExitCode
    from fednode.testnet.report import report_data

    if as_json:
        # One line after event lines, for programs that read line by line.
        say(json.dumps(report_data(report), indent=None if events else 2))
    elif not events:
        say("")
        for line in lines:
            say(line)
    if report.record.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(ExitCode.NO if report.problems else ExitCode.OK)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
