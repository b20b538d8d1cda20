"""A finished run in a few sentences for a person, and what to try next."""

import shlex
import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import Final

from fednode.testnet.report import Report
from fednode.testnet.verification import are_identical

BAR_WIDTH: Final = 30
ROBUST_RULE: Final = "nnm-geometric-median"
MEAN_RULE: Final = "mean"


def network_lines(report: Report) -> tuple[str, ...]:
    """Return what a person wants to know after a test network ended."""
    lines = [*_result_lines(report), "", *_check_lines(report), ""]
    rounds = report.genesis.contract.training_rounds
    if any(check.training_round < rounds for check in report.checks):
        lines.append(f"Go on with:  {command_line('testnet', '--resume', '--dir', _root(report))}")
    return (*lines, "Look closer", *_commands(report))


def demo_lines(report: Report, *, liar: int) -> tuple[str, ...]:
    """Return what a newcomer wants to know after the demonstration.

    Args:
        report: With metrics and baselines.
        liar: Number of the member that lied.
    """
    return (
        "What happened",
        *_story(report, liar),
        "",
        *_comparison(report),
        "",
        *_check_lines(report),
        "",
        "Try next",
        *_commands(report),
        *_other_rule(report),
    )


def interrupted_lines(report: Report) -> tuple[str, ...]:
    """Return what a person who pressed Ctrl-C wants to know."""
    height = max((check.height for check in report.checks), default=0)
    return (
        f"Stopped at height {height}; every process has ended. The ledgers are in {_root(report)}",
        f"Go on with:  {command_line('testnet', '--resume', '--dir', _root(report))}",
    )


def command_line(*arguments: str) -> str:
    """Return a `fednode` command as this user can type it."""
    script = Path(sys.executable).with_name("fednode")
    if shutil.which("fednode"):
        program = "fednode"
    elif script.is_file():
        program = _shown(script)
    else:
        program = f"{_shown(Path(sys.executable))} -m fednode"
    return f"{program} {shlex.join(arguments)}"


def _story(report: Report, liar: int) -> list[str]:
    contract = report.genesis.contract
    name = contract.members[liar].name
    flagged = sum(liar in height.flagged for height in report.heights)
    rounds = sum(height.kind != "EMPTY" for height in report.heights)
    lines = [
        f"  {len(contract.members)} hospitals trained one model in {rounds} training rounds, with "
        "no server.",
        "  Each is a process of its own and computed every new model itself; a model counts only",
        "  because more than two thirds of the voting power signed the same result.",
        f"  {name} lied: in every training round it sent -10 x what it had learned.",
    ]
    if contract.aggregation.rule_id == MEAN_RULE:
        lines.append("  The plain average believed it, and the model is ruined. All agreed on it:")
        lines.append("  agreement alone does not make a model good, the rule has to be robust too.")
    else:
        lines.append(
            f"  The rule {contract.aggregation.rule_id} kept that out; the others marked it as an "
            f"outlier {flagged} times of {rounds}."
        )
    return lines


def _comparison(report: Report) -> list[str]:
    if report.metrics is None or report.baselines is None:
        return []
    alone = [each["accuracy"] for each in report.baselines.alone]
    rows = (
        ("this network, liar included", report.metrics["accuracy"], ""),
        ("a hospital alone", fmean(alone), f"mean; {min(alone):.3f} to {max(alone):.3f}"),
        ("all rows in one place", report.baselines.pooled["accuracy"], "nobody may do that"),
    )
    samples = int(report.metrics["samples"])
    return [
        f"Accuracy on {samples} patients whom no hospital has seen",
        *(_bar_line(*row) for row in rows),
    ]


def _bar_line(name: str, value: float, note: str) -> str:
    bar = "█" * round(BAR_WIDTH * value)
    return f"  {name:<28} {value:.3f} {bar:<{BAR_WIDTH}} {note}".rstrip()


def _result_lines(report: Report) -> list[str]:
    rounds = max((check.training_round for check in report.checks), default=0)
    wanted = report.genesis.contract.training_rounds
    lines = [f"{rounds} of {wanted} training rounds, model {report.model_id[:16]}"]
    if report.metrics is not None:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items())
        lines.append(f"on the held-out rows: {figures}")
    return lines


def _check_lines(report: Report) -> list[str]:
    checks = report.checks
    clean = sum(not check.findings for check in checks)
    height = max((check.height for check in checks), default=0)
    lines = ["Checked afterwards"]
    if clean == len(checks):
        lines.append(f"  ok  {clean} ledgers audited offline from their exports: every check holds")
    if are_identical(checks):
        lines.append(f"  ok  all hold the same {height} blocks, byte for byte")
    if report.metrics is not None:
        lines.append(
            f"  ok  the exported model is the one that block {height} names: {report.model_id[:16]}"
        )
    lines += [f"  NOT OK  {problem}" for problem in report.problems]
    return lines


def _commands(report: Report) -> list[str]:
    first = report.genesis.contract.members[0].name
    folder, genesis = _shown(report.folder.member(first)), _shown(report.folder.genesis)
    height = max((check.height for check in report.checks), default=0)
    commands = [
        "  # every block: who proposed it, whose updates are in it, what stood out",
        f"  {command_line('ledger', 'log', folder)}",
    ]
    if height:
        commands += [
            "  # one block: its model, who signed it, what each update counted",
            f"  {command_line('ledger', 'show', folder, str(height))}",
        ]
    if report.metrics is not None:
        model, rows = _shown(report.folder.model_file), _shown(report.folder.test_rows)
        export = _shown(report.folder.export(first))
        commands += [
            "  # what an auditor does, with nothing but these three files",
            f"  {command_line('ledger', 'verify', export, '--genesis', genesis, '--model', model)}",
            "  # use the model, here on the held-out rows",
            f"  {command_line('model', 'predict', model, '--genesis', genesis, '--data', rows)}",
        ]
    return commands


def _other_rule(report: Report) -> list[str]:
    is_mean = report.genesis.contract.aggregation.rule_id == MEAN_RULE
    other = ROBUST_RULE if is_mean else MEAN_RULE
    why = "the same liar, kept out" if is_mean else "the same liar against a plain average"
    return [f"  # {why}", f"  {command_line('demo', '--rule', other)}"]


def _root(report: Report) -> str:
    return _shown(report.folder.root)


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
