"""`fednode demo`: five hospitals, one of which lies, in five processes on this computer."""

from pathlib import Path
from typing import Annotated

import typer

from fednode.cli.data_options import HoldOut
from fednode.cli.network_run import EventsOption, announce, chooser, finish
from fednode.cli.output import JsonOption


def demo(
    *,
    seed: Annotated[int, typer.Option(help="Seed of split and training.", min=0)] = 0,
    rule: Annotated[
        str, typer.Option(help="nnm-geometric-median, or mean to see what the liar does to it.")
    ] = "nnm-geometric-median",
    hold_out: HoldOut = 0.0,
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
    announce(
        "Five hospitals train one model without a server, and hospital-3 lies.",
        as_json=as_json,
        events=events,
    )

    from fednode.testnet.demo import LIAR, demo_plan, run_demo
    from fednode.testnet.summary import demo_lines, interrupted_lines, network_lines

    report = run_demo(
        folder, demo_plan(seed, rule, hold_out=hold_out), chooser(as_json=as_json, events=events)
    )
    if report.record.is_interrupted:
        lines = interrupted_lines(report)
    elif report.baselines is None:
        lines = network_lines(report)
    else:
        lines = demo_lines(report, liar=LIAR)
    finish(report, lines, as_json=as_json, events=events)
