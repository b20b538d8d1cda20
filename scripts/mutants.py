"""Plant faults, one at a time, and say how soon each is found.

Run `python scripts/mutants.py --all` for the table of docs/testing.md.
"""

import argparse
import multiprocessing
import sys
from functools import partial
from pathlib import Path

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.hunts import SEEDS_MAX, Kill, hunt
from tests.simulation.mutants import MUTANTS

REASON_MAX = 60


def main() -> int:
    """Hunt what the arguments name and return the exit status: 0 if all were found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="every fault")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help=f"at most ({SEEDS_MAX})")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="or these ones")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MUTANTS)
    if unknown:
        parser.error(f"expected some of {', '.join(sorted(MUTANTS))}, got {sorted(unknown)}")
    if not arguments.all and not arguments.names:
        parser.error("expected --all or names of faults")
    names = sorted(MUTANTS) if arguments.all else arguments.names
    print("| fault | found by | after | as |\n|---|---|---|---|", flush=True)
    survived = 0
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        find = partial(hunt, seeds=range(arguments.seeds))
        for name, kill in zip(names, pool.imap(find, names), strict=True):
            survived += kill is None
            print(row(name, kill), flush=True)
    return 1 if survived else 0


def row(name: str, kill: Kill | None) -> str:
    """Return the line of one fault."""
    text = (MUTANTS[name].__doc__ or "").strip().rstrip(".")
    if kill is None:
        return f"| `{name}`: {text} | | | SURVIVED |"
    reason = kill.reason.strip().splitlines()[-1][:REASON_MAX]
    return f"| `{name}`: {text} | {kill.where} | {kill.number} | {reason} |"


if __name__ == "__main__":
    sys.exit(main())
