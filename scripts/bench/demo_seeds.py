#!/usr/bin/env python3
"""Run the demonstration for several seeds and both rules; print the scores as a markdown table.

`scripts/bench/demo_seeds.py --seeds 5` takes about half a minute per run, ten runs in all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

RULES = ("nnm-geometric-median", "mean")
ACCURACY_MIN = 0.95
"""What the robust rule must reach."""
RUINED_MAX = 0.30
"""What the mean must not exceed, or the liar is no test."""


def main() -> int:
    """Run everything; return 0 if every run held and every score is within its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1")
    options = parser.parse_args()
    print("| seed | rule | accuracy | alone (mean) | pooled | seconds | holds |")
    print("|---|---|---|---|---|---|---|")
    results = [run(seed, rule) for seed in range(options.seeds) for rule in RULES]
    return 0 if all(results) else 1


def run(seed: int, rule: str) -> bool:
    """Run one demonstration, print its row, return whether it is within its bar."""
    began = monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "fednode", "demo", "--json"]
        command += ["--seed", str(seed), "--rule", rule, "--dir", str(Path(folder, "run"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = monotonic() - began
    if done.returncode != 0:
        print(f"| {seed} | {rule} | failed: {done.stderr.strip() or done.stdout[-500:]} |||||")
        return False
    data = json.loads(done.stdout)
    accuracy, comparison = data["metrics"]["accuracy"], data["comparison"]
    alone = sum(comparison["alone_accuracy"]) / len(comparison["alone_accuracy"])
    row = (seed, rule, f"{accuracy:.3f}", f"{alone:.3f}", f"{comparison['pooled_accuracy']:.3f}",
           f"{seconds:.1f}", data["holds"])  # fmt: skip
    print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    return bool(accuracy >= ACCURACY_MIN if rule != "mean" else accuracy <= RUINED_MAX)


if __name__ == "__main__":
    sys.exit(main())
