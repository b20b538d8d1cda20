"""Print as a table that one run's updates give one chain of models under every kernel.

A network of five with real training runs for twenty heights; then its updates are aggregated again
by its rule, and every fifth time by each other rule, in processes with another BLAS kernel, thread
count or instruction set.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.support.kernels import environments, recompute, recorded_models
from tests.support.recorded_run import record_run


def main() -> int:
    """Record a run and recompute it everywhere; the exit code is 1 if anything differs."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="fednode-kernels-") as root:
        folder = record_run(Path(root))
        own_rule, recorded = recorded_models(folder)
        expected = {own_rule: chain(recorded)}
        print(f"recorded: {own_rule}, {len(recorded)} heights, chain of models {chain(recorded)}")
        print(
            "| environment | kernel | what | hash over all heights | same |\n|---|---|---|---|---|"
        )
        is_one = True
        for name, environment in environments().items():
            result = recompute(folder, environment)
            computed = {**result.models, "inner products": result.tables}
            for rule, models in sorted(computed.items()):
                found = chain(models)
                is_same = expected.setdefault(rule, found) == found
                is_one = is_one and is_same
                print(f"| {name} | {result.kernel} | {rule} | {found} | {is_same} |", flush=True)
    return 0 if is_one else 1


def chain(models: Sequence[str]) -> str:
    """Return a short hash over all heights."""
    return sha256("".join(models).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
