"""What byzfl, a reference implementation of robust rules, makes of random rows.

`python -m tests.support.byzfl` writes `tests/vectors/byzfl.json` anew; it needs byzfl 0.0.11
(`pip install --no-deps byzfl==0.0.11`), torch for the processor, and scipy. Tests read the file, so
that they need none of these. `scripts/bench/aggregation.py` compares a million columns.
"""

import json
import sys
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.bucketing import bucket_rows
from fednode.aggregation.centered_clipping import ITERATIONS
from fednode.aggregation.gram import gram_matrix, squared_distances
from fednode.aggregation.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VECTORS: Final = Path(__file__).resolve().parents[1] / "vectors" / "byzfl.json"
SEED: Final = 20_240_229
CASES: Final = ((8, 3), (10, 2), (16, 3))
"""Members, in pairs, and how many of them are assumed Byzantine."""
COLUMNS: Final = 6
CONVERGED: Final = 300
"""Steps of the geometric median; by default byzfl makes 3, which end elsewhere. Where the median
lies on a row, more than our 32 come closer to it still."""

Floats: TypeAlias = NDArray[np.float64]


def load_byzfl() -> tuple[ModuleType, ModuleType]:
    """Return byzfl's modules of rules and of pre-aggregations.

    The package itself imports training code that needs torchvision, which has no build for the
    processor alone: so an empty package stands in for it.

    Raises:
        PackageNotFoundError: If byzfl is not installed.
        ImportError: If torch or scipy is not.
    """
    package = ModuleType("byzfl")
    package.__path__ = [str(distribution("byzfl").locate_file("byzfl"))]
    sys.modules["byzfl"] = package
    return (
        import_module("byzfl.aggregators.aggregators"),
        import_module("byzfl.aggregators.preaggregators"),
    )


def reference(rule_id: str, rows: Floats, f: int) -> Floats:
    """Return what byzfl makes of integers given as floats, shape (n, p), by a rule of ours."""
    rules, before = load_byzfl()
    parts = RULES[rule_id]
    rows = rows.copy()
    if parts.preaggregation == "nnm":
        rows = before.NNM(f=f)(rows)
    elif parts.preaggregation == "norm-clipping":
        rows = before.ARC(f=f)(rows)
    elif parts.preaggregation == "bucketing":
        rows = _buckets(before, rows, f)
    f = min(f, (len(rows) - 1) // 2)
    base: Mapping[str, Callable[[], Any]] = {
        "mean": rules.Average,
        "median": rules.Median,
        "trimmed-mean": lambda: rules.TrMean(f=f),
        "krum": lambda: rules.Krum(f=f),
        "multi-krum": lambda: rules.MultiKrum(f=f),
        "geometric-median": lambda: rules.GeometricMedian(T=CONVERGED),
        "centered-clipping": lambda: lambda values: _centered_clipping(rules, values),
    }
    return np.asarray(base[parts.base]()(rows))


def _buckets(before: ModuleType, rows: Floats, f: int) -> Floats:
    # byzfl shuffles at random: it gets the rows in our order and a shuffle that changes nothing.
    distances = squared_distances(gram_matrix(list(rows.astype(np.int32))))
    buckets = bucket_rows(distances, (1,) * len(rows), f)
    order = [i for line in buckets for i, weight in enumerate(line) if weight]
    vars(before)["random_tool"] = lambda _: SimpleNamespace(permutation=lambda values: values)
    size = max(sum(line) for line in buckets)
    return np.asarray(before.Bucketing(s=size)(rows[order]))


def _centered_clipping(rules: ModuleType, rows: Floats) -> Floats:
    # Where to begin and how far to clip is ours, each step byzfl's.
    n = len(rows)
    table = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    center = rows[np.argmin(np.sort(table, axis=1)[:, n // 2])]
    for _ in range(ITERATIONS):
        radius = np.sort(np.linalg.norm(rows - center, axis=1))[(n - 1) // 2]
        rule = rules.CenteredClipping(L=1, tau=max(float(radius), 1e-9))
        rule.m = center
        with np.errstate(divide="ignore"):  # the row that the center lies on
            center = np.asarray(rule(rows))
    return np.asarray(center)


def main() -> None:
    generator = np.random.default_rng(SEED)
    cases = []
    for n, f in CASES:
        floats = generator.normal(0, 3000, (n, COLUMNS)) + generator.normal(0, 3000, COLUMNS)
        floats[:f] *= -10
        rows = np.rint(floats)
        expected = {
            rule_id: [round(float(value), 2) for value in reference(rule_id, rows, f)]
            for rule_id in RULES
        }
        cases.append({"f": f, "rows": rows.astype(int).tolist(), "expected": expected})
    VECTORS.write_text(json.dumps({"byzfl": "0.0.11", "cases": cases}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
