"""Print as a table what four hospitals reach on heart patients, through the full voted path.

Example: scripts/bench/hospitals.py --data FOLDER_OF_heart_disease_uci
"""

import argparse
import os
import sys
from pathlib import Path
from statistics import fmean

# Before numpy loads: threads of the linear algebra would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from ledger.genesis import RULE_IDS
from tests.support.hospitals import HOSPITALS, heart_score, heart_sites


def main() -> int:
    """Run every rule with every seed; print one row each and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="with processed.cleveland.data")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0 on")
    options = parser.parse_args()
    sites = heart_sites(options.data)
    print("| rule | seed | " + " | ".join(HOSPITALS) + " | hospital mean | pooled test |")
    print("|---|---|" + "---|" * (len(HOSPITALS) + 2))
    for rule in sorted(RULE_IDS):
        scores = [heart_score(sites, rule, seed) for seed in range(options.seeds)]
        for seed, score in enumerate(scores):
            print_row(rule, str(seed), (*score.hospitals, score.hospital_mean, score.pooled))
        means = [fmean(each) for each in zip(*(score.hospitals for score in scores), strict=True)]
        whole = (fmean(s.hospital_mean for s in scores), fmean(s.pooled for s in scores))
        print_row(rule, "mean", (*means, *whole))
    return 0


def print_row(rule: str, seed: str, values: tuple[float, ...]) -> None:
    """Print one row of the table."""
    print(f"| {rule} | {seed} | " + " | ".join(f"{v:.3f}" for v in values) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
