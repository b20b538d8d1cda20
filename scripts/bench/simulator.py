"""Print as JSON how many simulated networks one core runs in a second, and what each one did.

A scenario is a network of some size that decides ten heights on links that lose one packet in
twenty, with unequal powers, signatures that are keyed hashes, and every check of
tests/simulation/checkers.py. The time is that of the processor, so other work on the machine makes
it longer only through its caches.

Example: scripts/bench/simulator.py --nodes 4,31 --seconds 10
"""

import argparse
import gc
import json
import sys
from collections import Counter
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.simulation.chance import make_random
from tests.simulation.settings import Settings
from tests.simulation.world import simulate_heights

HEIGHTS = 10
LOSS = 0.05
SAMPLES = (10, 50, 100, 1000)
COLLECT_EVERY = 16
"""Worlds are full of cycles: one collection for some of them, and it is part of the time."""


def main() -> int:
    """Measure every size and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", default="4,7,10,31", help="numbers of nodes, with commas")
    parser.add_argument("--seconds", type=float, default=5.0, help="processor time for each size")
    options = parser.parse_args()
    results = []
    for nodes in (int(each) for each in options.nodes.split(",")):
        results.append({"nodes": nodes, **measure(nodes, options.seconds)})
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"heights": HEIGHTS, "loss": LOSS, "results": results}, indent=1))
    return 0


def measure(nodes: int, seconds: float) -> dict[str, float]:
    """Run scenarios of one size for a while, after one that warms up."""
    simulate_heights(scenario(0, nodes), HEIGHTS)
    totals: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    started = process_time()
    while process_time() - started < seconds:
        outcome = simulate_heights(scenario(totals["scenarios"] + 1, nodes), HEIGHTS)
        totals.update(
            scenarios=1,
            heights=outcome.counts["heights"],
            packets=outcome.counts["sent"],
            events=outcome.events,
            virtual_ms=outcome.virtual_ms,
        )
        if totals["scenarios"] % COLLECT_EVERY == 0:
            gc.collect()
    spent = process_time() - started
    gc.enable()
    return {
        "scenarios": totals["scenarios"],
        "scenarios_per_s": round(totals["scenarios"] / spent, 2),
        "heights_per_s": round(totals["heights"] / spent, 1),
        "virtual_s_per_s": round(totals["virtual_ms"] / 1000 / spent, 1),
        "packets_per_scenario": round(totals["packets"] / totals["scenarios"]),
        "us_per_packet": round(1e6 * spent / totals["packets"], 1),
    }


def scenario(seed: int, nodes: int) -> Settings:
    """Return a network with powers of its own."""
    rng = make_random(f"bench/{seed}")
    tolerated = (nodes - 1) // 3
    return Settings(
        seed=seed,
        validators=nodes,
        byzantine_budget=tolerated,
        trainer_budget=tolerated,
        samples=tuple(rng.choice(SAMPLES) for _ in range(nodes)),
        skews_ms=(0,) * nodes,
        loss=LOSS,
    )


if __name__ == "__main__":
    sys.exit(main())
