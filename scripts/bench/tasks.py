"""Print as tables what six regions reach on survival, and how far forecasts of beds are off.

Rules in production arithmetic, all sites in one process, no votes.

Example: scripts/bench/tasks.py --data FOLDER_WITH_tcga_brca_AND_covid19_italy_regions
"""

import argparse
import os
import sys
from pathlib import Path

# Before numpy loads: threads of the linear algebra would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from fednode.aggregation.rules import RuleSpec
from tests.support.tasks import REGIONS, beds_off, survival_score, survival_sites

RULES = ("mean", "nnm-geometric-median")


def main() -> int:
    """Run both rules, and the forecast, with every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of both data sets")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0 on")
    options = parser.parse_args()
    sites = survival_sites(options.data / "tcga_brca")
    print(
        "| rule | seed | "
        + " | ".join(f"region {n}" for n in range(REGIONS))
        + " | mean | pooled |"
    )
    print("|---|---|" + "---|" * (REGIONS + 2))
    for rule in RULES:
        for seed in range(options.seeds):
            score = survival_score(sites, RuleSpec(rule_id=rule, f=1), seed)
            values = (*score.regions, score.region_mean, score.pooled)
            print(
                f"| {rule} | {seed} | " + " | ".join(f"{v:.3f}" for v in values) + " |", flush=True
            )
    print("\n| seed | newest value repeated, beds | autoregression, beds |\n|---|---|---|")
    for seed in range(options.seeds):
        repeated, learned = beds_off(options.data / "covid19_italy_regions/regions_daily.csv", seed)
        print(f"| {seed} | {repeated:.1f} | {learned:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
