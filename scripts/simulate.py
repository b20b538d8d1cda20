"""Simulate networks under faults, one seed each, and check every promise of the protocol.

Run `python scripts/simulate.py --help`; docs/testing.md says what is simulated and checked.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import get_args

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.mutants import MUTANTS
from tests.simulation.runner import Campaign, campaign, first_kill, run_seed
from tests.simulation.settings import Profile


def main() -> int:
    """Run what the arguments ask for and return the exit status."""
    arguments = parse_arguments()
    if arguments.seed is not None:
        return replay(arguments)
    if arguments.mutant is not None:
        return kill(arguments)
    return run_campaign(arguments)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (2000)")
    parser.add_argument("--from-seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--heights", type=int, default=5, help="heights after healing (5)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument(
        "--profile",
        choices=get_args(Profile),
        default="mixed",
        help="which seeds are of full nodes: 1 in 20 (mixed), none (consensus), or all (full)",
    )
    parser.add_argument("--full", action="store_const", const="full", dest="profile")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, help="run this one seed only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="plant this fault, find it")
    return parser.parse_args()


def replay(arguments: argparse.Namespace) -> int:
    """Run one seed, with a trace when asked."""
    trace = print if arguments.trace else None
    result = run_seed(
        arguments.seed,
        heights=arguments.heights,
        profile=arguments.profile,
        mutant=arguments.mutant,
        trace=trace,
    )
    if result.outcome is None:
        print(f"seed {arguments.seed} FAILED: {result.failure}")
        return 1
    print(f"seed {arguments.seed}: {dict(sorted(result.outcome.counts.items()))}")
    print(f"seed {arguments.seed}: events hash {result.outcome.digest}")
    return 0


def kill(arguments: argparse.Namespace) -> int:
    """Count the seeds that it takes to find a planted fault."""
    seeds = range(arguments.from_seed, arguments.from_seed + arguments.seeds)
    found = first_kill(
        arguments.mutant, seeds=seeds, heights=arguments.heights, jobs=arguments.jobs
    )
    if found is None:
        print(f"{arguments.mutant}: SURVIVED {arguments.seeds} seeds")
        return 1
    number, result = found
    reason = (result.failure or "").strip().splitlines()[-1]
    print(f"{arguments.mutant}: killed after {number} seeds (seed {result.seed}): {reason}")
    return 0


def run_campaign(arguments: argparse.Namespace) -> int:
    """Run a range of seeds and print the totals."""
    started = time.perf_counter()
    seeds = range(arguments.from_seed, arguments.from_seed + arguments.seeds)
    done = campaign(
        seeds, heights=arguments.heights, jobs=arguments.jobs, profile=arguments.profile
    )
    seconds = time.perf_counter() - started
    if arguments.json:
        print(json.dumps(as_json(done, seconds), sort_keys=True))
    else:
        print_campaign(done, seconds)
    return 1 if done.failures or done.missing else 0


def as_json(done: Campaign, seconds: float) -> dict[str, object]:
    """Return a campaign as plain data."""
    return {
        "seeds": done.seeds,
        "seconds": round(seconds, 1),
        "totals": dict(done.totals),
        "slowest_healed_ms": done.slowest_ms,
        "failures": {each.seed: each.failure for each in done.failures},
        "never_happened": list(done.missing),
    }


def print_campaign(done: Campaign, seconds: float) -> None:
    """Print a campaign for people."""
    print(f"{done.seeds} seeds in {seconds:.1f} s")
    for name, total in sorted(done.totals.items()):
        print(f"  {name:16s} {total:10d} in total {total / done.seeds:10.1f} per run")
    print(f"  longest healed phase {done.slowest_ms / 1000:.1f} s of virtual time")
    for each in done.failures:
        print(f"seed {each.seed} FAILED: {each.failure}")
        print(f"  replay: python scripts/simulate.py --seed {each.seed} --trace")
    for name in done.missing:
        print(f"FAILED: {name} never happened, so nothing was tested")
    if not done.failures and not done.missing:
        print("all promises held")


if __name__ == "__main__":
    sys.exit(main())
