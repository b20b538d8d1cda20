"""Run two copies of a member with one key, and partitions, and check every promise (twins).

Run `python scripts/twins.py --help`; docs/testing.md says what a scenario is and what is checked.
"""

import argparse
import json
import sys
import time
from pathlib import Path

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.mutants import MUTANTS
from tests.simulation.packets import ViolationError
from tests.twins.runner import FOUR, FOUR_NAMED, Slice, draw, explore, planted
from tests.twins.sampling import draw_terms
from tests.twins.tree import BrokenPromiseError, parse_scenario, replay


def main() -> int:
    """Run what the arguments ask for and return the exit status."""
    arguments = parse_arguments()
    if arguments.replay is not None:
        return run_replay(arguments)
    return run_slice(arguments)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--exhaustive", action="store_true", help="all scenarios of four members")
    kinds.add_argument("--nodes", type=int, metavar="N", help="drawn scenarios of N members")
    parser.add_argument("--stages", type=int, default=4, help="with --exhaustive: stages (4)")
    parser.add_argument("--from-state", type=int, default=0, help="with --exhaustive: go on here")
    parser.add_argument("--all-names", action="store_true", help="with --exhaustive: no renaming")
    parser.add_argument("--samples", type=int, default=100, help="with --nodes: seeds (100)")
    parser.add_argument("--from-seed", type=int, default=0, help="with --nodes: first seed (0)")
    parser.add_argument("--seconds", type=float, default=1800, help="stop after so long (1800)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--replay", metavar="SCENARIO", help="run this one only (of --from-seed)")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="plant this fault")
    return parser.parse_args()


def run_replay(arguments: argparse.Namespace) -> int:
    """Run one scenario."""
    terms = FOUR if arguments.exhaustive else draw_terms(arguments.nodes, arguments.from_seed)
    try:
        with planted(arguments.mutant):
            world = replay(terms, parse_scenario(arguments.replay))
    except ViolationError as error:
        print(f"{arguments.replay} FAILED: {error}")
        return 1
    decided = "nothing" if world.decided is None else world.decided.hex()[:8]
    print(f"{arguments.replay}: all promises held, decided {decided} at the end")
    return 0


def run_slice(arguments: argparse.Namespace) -> int:
    """Run one slice of a campaign and say where the next one begins."""
    started = time.perf_counter()
    try:
        with planted(arguments.mutant):
            done = start_slice(arguments)
    except BrokenPromiseError as error:
        print(f"FAILED: {error}")
        return 1
    seconds = time.perf_counter() - started
    if arguments.json:
        print(json.dumps(as_json(done, seconds), sort_keys=True))
    else:
        print_slice(done, seconds)
    return 1 if done.broken else 0


def start_slice(arguments: argparse.Namespace) -> Slice:
    """Run states or seeds until they are done or time is up."""
    seconds, jobs = arguments.seconds, arguments.jobs
    if arguments.exhaustive:
        terms = FOUR_NAMED if arguments.all_names else FOUR
        begin = arguments.from_state
        return explore(arguments.stages, begin=begin, seconds=seconds, jobs=jobs, terms=terms)
    seeds = range(arguments.from_seed, arguments.from_seed + arguments.samples)
    return draw(arguments.nodes, seeds=seeds, seconds=seconds, jobs=jobs)


def as_json(done: Slice, seconds: float) -> dict[str, object]:
    """Return a slice as plain data."""
    return {
        "from": done.begin,
        "to": done.end,
        "of": done.size,
        "seconds": round(seconds, 1),
        "counts": dict(done.counts),
        "broken": done.broken,
    }


def print_slice(done: Slice, seconds: float) -> None:
    """Print a slice for people."""
    print(f"{done.begin} to {done.end} of {done.size} in {seconds:.1f} s")
    for name, total in sorted(done.counts.items()):
        print(f"  {name:10s} {total:12,d}")
    for each in done.broken:
        print(f"FAILED: {each}")
    if not done.broken:
        print("all promises held")
    if done.end < done.size:
        print(f"go on from {done.end}")


if __name__ == "__main__":
    sys.exit(main())
