"""Run one slice of a long campaign of simulated networks and add a line to docs/campaigns.csv.

A slice goes on where the last one of the same kind ended and stops in time. Only slices of the
present program count: those whose engine hash is that of the sources now. So does only a committed
program: with changes that are not, nothing is run.

Examples: scripts/campaign.py --kind full --minutes 30
          scripts/campaign.py --summary
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.runner import SeedResult
from tests.simulation.slices import (
    Slice,
    append_slice,
    engine_hash,
    next_seed,
    read_slices,
    run_seeds,
    summary,
)

ROOT = Path(__file__).resolve().parent.parent
MINUTES_MAX = 30
KINDS = ("consensus", "full")
HEIGHTS = 2
"""Heights that everybody must decide once healed: what is attacked is the time before."""


def main() -> int:
    """Do what the arguments ask for and return the exit status."""
    arguments = parse_arguments()
    engine = engine_hash(ROOT)
    if arguments.hash:
        print(engine)
        return 0
    if arguments.summary:
        print_summary(arguments.file, engine)
        return 0
    problem = why_dirty(arguments.file)
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    done, failures = run_slice(arguments, engine)
    append_slice(arguments.file, done)
    print(f"{done.seeds} seeds of kind {done.kind} ({done.from_seed} to {done.to_seed})", end=" ")
    print(f"in {done.seconds} s: {done.heights} heights, {done.violations} violations")
    for each in failures:
        print(f"seed {each.seed} FAILED: {each.failure}")
        print(f"  replay: {replay_command(done.kind, each.seed)}")
    return 1 if failures else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", choices=KINDS, default="consensus", help="what seeds use")
    parser.add_argument("--from-seed", type=int, help="first seed (after the last that counts)")
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX, help="at most 30 (30)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (cores)")
    parser.add_argument(
        "--file", type=Path, default=ROOT / "docs" / "campaigns.csv", help="docs/campaigns.csv"
    )
    parser.add_argument("--summary", action="store_true", help="how many seeds count")
    parser.add_argument("--hash", action="store_true", help="print the engine hash")
    arguments = parser.parse_args()
    if not 0 <= arguments.minutes <= MINUTES_MAX or arguments.jobs < 1:
        parser.error(f"expected up to {MINUTES_MAX} minutes and at least one process")
    return arguments


def run_slice(arguments: argparse.Namespace, engine: str) -> tuple[Slice, list[SeedResult]]:
    """Run seeds until the time is over; at least one batch."""
    first = arguments.from_seed
    if first is None:
        first = next_seed(read_slices(arguments.file), kind=arguments.kind, engine=engine)
    started = time.monotonic()
    until = started + 60 * arguments.minutes
    totals: Counter[str] = Counter()
    failures = []
    for result in run_seeds(
        first,
        profile=arguments.kind,
        heights=HEIGHTS,
        jobs=arguments.jobs,
        is_over=lambda done: done > 0 and time.monotonic() >= until,
    ):
        totals["seeds"] += 1
        if result.outcome is None:
            failures.append(result)
        else:
            totals.update(heights=result.outcome.counts["heights"])
            totals.update(views=result.outcome.counts["views"])
    done = Slice(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        kind=arguments.kind,
        from_seed=first,
        to_seed=first + totals["seeds"] - 1,
        seeds=totals["seeds"],
        heights=totals["heights"],
        views=totals["views"],
        violations=len(failures),
        seconds=round(time.monotonic() - started),
        commit=git("rev-parse", "--short=12", "HEAD").strip(),
        engine=engine,
    )
    return done, failures


def print_summary(path: Path, engine: str) -> None:
    """Print how many seeds of each kind count for the present program."""
    slices = read_slices(path)
    print(f"engine hash {engine}; {len(slices)} slices in {path.name}")
    totals = summary(slices, engine=engine)
    for kind, counts in sorted(totals.items()):
        shown = ", ".join(f"{counts[name]} {name}" for name in ("heights", "views", "violations"))
        print(f"{kind}: {counts['seeds']} seeds in {counts['slices']} slices count: {shown}")
    if not totals:
        print("none of them counts")


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
    return f"python scripts/simulate.py --profile {kind} --seed {seed} --trace"


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
