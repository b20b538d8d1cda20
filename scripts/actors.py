"""Let each named Byzantine actor act in a simulated network; print what it achieved, and its bound.

Run `python scripts/actors.py --help`; docs/testing.md says what the actors do.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.byzantine.actors.cast import NAMED
from tests.byzantine.actors.trial import LIARS, Trial, run_trial


def main() -> int:
    """Run the trials; the exit status is 1 if an actor got further than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--actor",
        action="append",
        help="one of these only; NAME:TRIGGER says when it acts, as in nuller:p=0.5;heights=3-",
    )
    parser.add_argument("--seeds", type=int, default=1, help="runs of each actor (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per run")
    options = parser.parse_args()
    has_failed = False
    if not options.json:
        sys.stdout.write(HEADING)
    for part in options.actor or NAMED:
        for members in LIARS:
            for seed in range(options.seeds):
                trial = run_trial(part, members, seed)
                has_failed |= not trial.is_held and trial.acts > 0
                line = json.dumps({**asdict(trial), "holds": trial.is_held})
                sys.stdout.write(line + "\n" if options.json else row(trial))
                sys.stdout.flush()
    return 1 if has_failed else 0


HEADING = (
    f"{'actor':14} {'n':>2} {'liars':>5} {'heights':>7} {'acts':>6}  {'achieved':>8} {'bound':>6}"
    "  what is counted\n"
)


def row(trial: Trial) -> str:
    """One line for people."""
    head = (
        f"{trial.actor:14} {trial.members:2} {LIARS[trial.members]:5} {trial.heights:7}"
        f" {trial.acts:6}"
    )
    if trial.measure is None:
        return f"{head}  FAILED: {trial.problem}\n"
    measure = trial.measure
    note = f" ({measure.note})" if measure.note else ""
    verdict = "" if trial.is_held else "  FAILED" if trial.acts else "  (had nothing to do)"
    return f"{head}  {measure.value:8} {measure.limit:6}  {measure.what}{note}{verdict}\n"


if __name__ == "__main__":
    sys.exit(main())
