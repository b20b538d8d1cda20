"""`fednode demo`: five hospitals, one of which lies, in five processes on this computer."""

from pathlib import Path
from typing import Annotated

import typer

from fednode.cli.network_run import EventsOption, chooser, finish
from fednode.cli.output import JsonOption


def demo(
    *,
    seed: Annotated[int, typer.Option(help="Seed of split and training.", min=0)] = 0,
    rule: Annotated[
        str, typer.Option(help="nnm-geometric-median, or mean to see what the liar does to it.")
    ] = "nnm-geometric-median",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder to make; left out: one below ./runs.", metavar="DIR"),
    ] = None,
    as_json: JsonOption = False,
    events: EventsOption = False,
) -> None:
    """Train a breast cancer model at five hospitals without a server, although one of them lies.

    Every hospital is a process of its own. Afterwards every ledger is audited offline, and the
    model is compared with what each hospital reaches alone.

    Example: fednode demo

    Example: fednode demo --rule mean
    """
    from fednode.testnet.demo import LIAR, run_demo
    from fednode.testnet.summary import demo_lines, interrupted_lines

    title = "fednode demo: five hospitals, no server, and hospital-3 lies"
    report = run_demo(folder, seed, rule, chooser(title, as_json=as_json, events=events))
    is_whole = not report.record.is_interrupted and report.baselines is not None
    lines = demo_lines(report, liar=LIAR) if is_whole else interrupted_lines(report)
    finish(report, lines, as_json=as_json, events=events)
