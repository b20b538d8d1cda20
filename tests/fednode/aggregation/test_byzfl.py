"""Every rule agrees with byzfl's on random rows, within a quantum.

Named deviations: its geometric median runs until it stands still (ours is short of a median that
lies on a row), its centered clipping gets our
first center and our radius at each step, and its buckets hold our pairs (`tests/support/byzfl.py`).
The numbers of rows are even: a last bucket of one row counts half as much as others here.
"""

import json

import numpy as np
import pytest

from fednode.aggregation.rules import RULES, RuleSpec, aggregate
from tests.support.byzfl import CASES, VECTORS

RECORDED = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", RECORDED, ids=[f"n={len(case['rows'])}" for case in RECORDED])
def test_every_rule_agrees_with_byzfl_within_a_quantum(case: dict[str, object]) -> None:
    rows = [np.array(row, np.int32) for row in np.array(case["rows"])]
    expected = case["expected"]
    assert isinstance(expected, dict)
    assert isinstance(case["f"], int)

    for rule_id, values in expected.items():
        delta = aggregate(RuleSpec(rule_id=rule_id, f=case["f"]), rows, [1] * len(rows)).delta
        assert np.abs(delta - np.array(values)).max() <= 1, rule_id


def test_no_rule_is_missing_from_the_comparison() -> None:
    assert [(len(case["rows"]), case["f"]) for case in RECORDED] == list(CASES)
    assert all(sorted(case["expected"]) == sorted(RULES) for case in RECORDED)
