"""Four hospitals reach their scores through the full path: signed, voted on, stored by all."""

from statistics import fmean

import pytest

from tests.conftest import RequireData
from tests.support.hospitals import heart_score, heart_sites

SEEDS = range(5)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "accuracy_min"), [("nnm-geometric-median", 0.775), ("mean", 0.78)]
)
def test_four_hospitals_reach_their_score_through_the_voted_path(
    rule: str, accuracy_min: float, require_data: RequireData
) -> None:
    sites = heart_sites(require_data("heart_disease_uci"))

    scores = [heart_score(sites, rule, seed) for seed in SEEDS]

    assert [score.models for score in scores] == [1] * len(SEEDS)
    assert fmean(score.pooled for score in scores) >= accuracy_min
