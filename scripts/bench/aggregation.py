"""Print as a table how long each aggregation rule takes, beside byzfl where that is installed.

Both get the same rows of integers, byzfl as float32 tensors with two threads, fednode with one.
Each number is the best of several runs taken in turns. *Rule* is the aggregate alone, with the
check of the rows, which is what byzfl computes; a node computes outlier flags too. The last column
compares the aggregates: the largest difference in quanta (byzfl's geometric median takes 3 steps,
ours 32).
"""

import argparse
import os
import resource
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from time import perf_counter
from typing import Final, TypeAlias

# Before numpy loads: more BLAS threads than free cores make the Gram matrix many times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.rules import RULES, RuleSpec, aggregate, combine
from tests.support.byzfl import load_byzfl

Integers: TypeAlias = NDArray[np.int32]
SEED: Final = 20_240_229
REFERENCE_THREADS: Final = 2
BARS: Final = {
    "mean": 1.5,
    "median": 1.0,
    "trimmed-mean": 1.0,
    "multi-krum": 1.0,
    "geometric-median": 1.0,
    "nnm-geometric-median": 1.0,
}
"""At most so many times as long as byzfl, with equal weights."""


def main() -> None:
    """Time the rules on random rows; with byzfl in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", default=",".join(BARS), help="rule ids with commas, or all")
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--columns", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=20, help="of a value, with its sign")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--uneven", action="store_true", help="weights that differ; fednode alone")
    options = parser.parse_args()
    n, f = options.members, (options.members - 1) // 3
    bound = 2 ** (options.bits - 1)
    shape = (n, options.columns)
    rows = np.random.default_rng(SEED).integers(1 - bound, bound, shape, dtype=np.int32)
    weights = list(range(100, 100 + n)) if options.uneven else [1] * n
    names = list(RULES) if options.rules == "all" else options.rules.split(",")
    theirs = None if options.uneven else reference_rules(rows, f)
    print("| rule | rule, s | with flags, s | byzfl, s | rule / byzfl | bar | difference |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        spec = RuleSpec(rule_id=name, f=f)
        calls: dict[str, Callable[[], object]] = {
            "rule": partial(combine, spec, list(rows), weights),
            "all": partial(aggregate, spec, list(rows), weights),
        }
        if theirs is not None and name in theirs:
            calls["byzfl"] = theirs[name]
        best, results = time_rule(calls, options.repeats)
        line = f"| `{name}` | {best['rule']:.3f} | {best['all']:.3f} |"
        if "byzfl" in best:
            ratio, bar = best["rule"] / best["byzfl"], BARS.get(name, "")
            gap = np.abs(np.asarray(results["rule"]) - np.asarray(results["byzfl"])).max()
            line += f" {best['byzfl']:.3f} | {ratio:.2f} | {bar} | {gap:.2f} |"
        print(line if "byzfl" in best else line + " | | | |", flush=True)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\nnumpy {np.__version__}, {n} x {options.columns}, f={f}, peak {peak_mib} MiB")


def reference_rules(rows: Integers, f: int) -> Mapping[str, Callable[[], object]] | None:
    """Return byzfl's counterparts as calls by rule id, or None where it is not installed."""
    try:
        rules, before = load_byzfl()
        torch = import_module("torch")
    except (ImportError, PackageNotFoundError):
        return None
    torch.set_num_threads(REFERENCE_THREADS)
    tensor = torch.tensor(rows.astype(np.float32))
    median, mix = rules.GeometricMedian(), before.NNM(f=f)
    trimmed = rules.TrMean(f=f)
    return {
        "mean": lambda: rules.Average()(tensor),
        "median": lambda: rules.Median()(tensor),
        "trimmed-mean": lambda: trimmed(tensor),
        "krum": lambda: rules.Krum(f=f)(tensor),
        "multi-krum": lambda: rules.MultiKrum(f=f)(tensor),
        "geometric-median": lambda: median(tensor),
        "nnm-geometric-median": lambda: median(mix(tensor)),
        "nnm-trimmed-mean": lambda: trimmed(mix(tensor)),
    }


def time_rule(
    calls: Mapping[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, float], dict[str, object]]:
    """Return the best seconds of each call, and what each returned, all taken in turns."""
    best = dict.fromkeys(calls, float("inf"))
    results: dict[str, object] = {}
    for _ in range(repeats):
        for name, call in calls.items():
            start = perf_counter()
            results[name] = call()
            best[name] = min(best[name], perf_counter() - start)
    return best, results


if __name__ == "__main__":
    main()
