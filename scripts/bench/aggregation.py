"""Print as JSON how many seconds each aggregation rule takes, best of several runs."""

import argparse
import json
import os
import resource
import sys
from time import perf_counter

# Before numpy loads: more BLAS threads than free cores make the Gram matrix many times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from fednode.aggregation.rules import RULES, RuleSpec, aggregate

SIZES = ((4, 10_000), (4, 1_000_000), (10, 10_000), (10, 1_000_000), (32, 10_000), (32, 1_000_000))
SEED = 20_240_229


def main() -> None:
    """Time all rules on rows of full range (two limbs) and of 16 bits (one limb)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the best counts")
    repeats = parser.parse_args().repeats
    results = [
        {"rule": rule_id, "n": n, "p": p, "bits": bits, "seconds": seconds}
        for n, p in SIZES
        for bits in (16, 25)
        for rule_id, seconds in time_rules(n, p, bits, repeats).items()
    ]
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    report = {
        "blas_threads": os.environ["OPENBLAS_NUM_THREADS"],
        "numpy": np.__version__,
        "peak_mib": peak_mib,
        "seed": SEED,
        "results": results,
    }
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


def time_rules(n: int, p: int, bits: int, repeats: int) -> dict[str, float]:
    """Return the best seconds of each rule for `n` rows of `p` signed values of `bits` bits."""
    bound = 2 ** (bits - 1)
    rows = np.random.default_rng(SEED).integers(1 - bound, bound, (n, p), dtype=np.int32)
    best = {}
    for rule_id in RULES:
        rule = RuleSpec(rule_id=rule_id, f=(n - 1) // 3)
        seconds = []
        for _ in range(repeats):
            start = perf_counter()
            aggregate(rule, list(rows), [1] * n)
            seconds.append(perf_counter() - start)
        best[rule_id] = round(min(seconds), 5)
    return best


if __name__ == "__main__":
    main()
