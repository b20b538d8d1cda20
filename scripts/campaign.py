"""Run one slice of a long campaign and add a line to docs/campaigns.csv.

A slice goes on where the last one of the same kind ended and stops in time. Only slices of the
present program count: those whose engine hash is that of the sources now. So does only a committed
program: with changes that are not, nothing is run. `consensus` and `full` are simulated networks
(scripts/simulate.py), `twins-N` copied keys among N members (scripts/twins.py).

Examples: scripts/campaign.py --kind full --minutes 30
          scripts/campaign.py --kind twins-7 --minutes 30
          scripts/campaign.py --summary
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.slices import (
    SOURCES,
    Slice,
    append_slice,
    engine_hashes,
    next_seed,
    read_slices,
    run_seeds,
    summary,
)
from tests.twins.runner import FOUR, draw, explore
from tests.twins.tree import BrokenPromiseError

ROOT = Path(__file__).resolve().parent.parent
MINUTES_MAX = 30
PROFILES = ("consensus", "full")
STAGES = 4
SEEDS_MAX = 1_000_000
"""Seeds with twins for which no slice has the time."""
SHOWN = ("seeds", "scenarios", "heights", "views", "violations")
HEIGHTS = 2
"""Heights that everybody must decide once healed: what is attacked is the time before."""


def main() -> int:
    """Do what the arguments ask for and return the exit status."""
    arguments = parse_arguments()
    engines = engine_hashes(ROOT)
    if arguments.hash:
        for kind, engine in engines.items():
            print(kind, engine)
        return 0
    if arguments.summary:
        print_summary(arguments.file, engines)
        return 0
    problem = why_dirty(arguments.file)
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    done, failures = run_slice(arguments, engines[arguments.kind])
    append_slice(arguments.file, done)
    print(f"{done.seeds} seeds of kind {done.kind} ({done.from_seed} to {done.to_seed})", end=" ")
    print(f"in {done.seconds} s: {done.heights} heights, {done.violations} violations")
    for each in failures:
        print(each)
    return 1 if failures else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", choices=SOURCES, default="consensus", help="what is run")
    parser.add_argument("--from-seed", type=int, help="first seed (after the last that counts)")
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX, help="at most 30 (30)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (cores)")
    parser.add_argument(
        "--file", type=Path, default=ROOT / "docs" / "campaigns.csv", help="docs/campaigns.csv"
    )
    parser.add_argument("--summary", action="store_true", help="how many seeds count")
    parser.add_argument("--hash", action="store_true", help="print the engine hashes")
    arguments = parser.parse_args()
    if not 0 <= arguments.minutes <= MINUTES_MAX or arguments.jobs < 1:
        parser.error(f"expected up to {MINUTES_MAX} minutes and at least one process")
    return arguments


def run_slice(arguments: argparse.Namespace, engine: str) -> tuple[Slice, list[str]]:
    """Run seeds until the time is over; return the line, and what to print of what was broken."""
    kind: str = arguments.kind
    first = arguments.from_seed
    if first is None:
        first = next_seed(read_slices(arguments.file), kind=kind, engine=engine)
    started = time.monotonic()
    if kind in PROFILES:
        totals, failures = run_networks(arguments, first, started + 60 * arguments.minutes)
    else:
        totals, failures = run_twins(arguments, first)
    done = Slice(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        kind=kind,
        from_seed=first,
        to_seed=first + totals["seeds"] - 1,
        seeds=totals["seeds"],
        scenarios=totals["scenarios"],
        heights=totals["heights"],
        views=totals["views"],
        violations=len(failures),
        seconds=round(time.monotonic() - started),
        commit=git("rev-parse", "--short=12", "HEAD").strip(),
        engine=engine,
    )
    return done, failures


def run_networks(
    arguments: argparse.Namespace, first: int, until: float
) -> tuple[Counter[str], list[str]]:
    """Simulate networks from a seed on, at least one batch."""
    totals: Counter[str] = Counter()
    failures = []
    for result in run_seeds(
        first,
        profile=arguments.kind,
        heights=HEIGHTS,
        jobs=arguments.jobs,
        is_over=lambda done: done > 0 and time.monotonic() >= until,
    ):
        totals.update(seeds=1, scenarios=1)
        if result.outcome is None:
            replay = replay_command(arguments.kind, result.seed)
            failures.append(f"seed {result.seed} FAILED: {result.failure}\n  replay: {replay}")
        else:
            totals.update(heights=result.outcome.counts["heights"])
            totals.update(views=result.outcome.counts["views"])
    return totals, failures


def run_twins(arguments: argparse.Namespace, first: int) -> tuple[Counter[str], list[str]]:
    """Run scenarios with twins: with four members states of all of them, else drawn ones."""
    seconds, jobs = 60 * arguments.minutes, arguments.jobs
    nodes = int(arguments.kind.partition("-")[2])
    try:
        if nodes == len(FOUR.powers):
            done = explore(STAGES, begin=first, seconds=seconds, jobs=jobs)
        else:
            seeds = range(first, first + SEEDS_MAX)
            done = draw(nodes, seeds=seeds, seconds=seconds, jobs=jobs)
    except BrokenPromiseError as error:
        return Counter(), [f"FAILED: {error}"]
    if done.end == done.size:
        print(f"the last of {done.size} states is done")
    totals = Counter(seeds=done.end - done.begin, scenarios=done.counts["scenarios"])
    totals.update(heights=done.counts["decided"], views=done.counts["views"])
    return totals, [f"FAILED: {each}" for each in done.broken]


def print_summary(path: Path, engines: Mapping[str, str]) -> None:
    """Print how many seeds of each kind count for the present program."""
    slices = read_slices(path)
    print(f"{len(slices)} slices in {path.name}")
    totals = summary(slices, engines=engines)
    for kind, engine in engines.items():
        counts = totals.get(kind, Counter())
        shown = ", ".join(f"{counts[name]} {name}" for name in SHOWN)
        print(f"{kind} (engine hash {engine}): {counts['slices']} slices count: {shown}")


def why_dirty(path: Path) -> str | None:
    """Why a slice would say nothing about any commit: files that are changed, but for `path`."""
    changed = [
        line
        for line in git("status", "--porcelain").splitlines()
        if (ROOT / line[3:].strip('"')).resolve() != path.resolve()
    ]
    if not changed:
        return None
    shown = ", ".join(line[3:] for line in changed[:3])
    return f"expected a tree without changes, got {len(changed)} ({shown}): commit them first"


def replay_command(kind: str, seed: int) -> str:
    """The command that runs a seed of a slice again, with every event."""
    options = f"--profile {kind} --heights {HEIGHTS} --seed {seed}"
    return f"python scripts/simulate.py {options} --trace"


def git(*arguments: str) -> str:
    """Return what a git command says about the checkout."""
    return subprocess.run(
        ["git", *arguments],  # noqa: S607  # the user's git
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
