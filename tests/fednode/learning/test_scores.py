"""The presets reach their scores with the production arithmetic, without and despite a liar."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fednode.aggregation.fixedpoint import unflatten
from fednode.aggregation.rules import RuleSpec
from fednode.attacks import parse_attacker
from fednode.learning.baselines import train_baselines
from fednode.learning.evaluation import evaluate
from fednode.learning.models import build_network
from fednode.learning.preprocessing import preprocess
from fednode.learning.presets import DEMO, HEART
from fednode.learning.site_data import Site, load_sites
from tests.conftest import RequireData
from tests.fednode.learning.federation import (
    Outcome,
    SiteData,
    common_features,
    preset_sites,
    run_federation,
)

SEEDS = range(5)
ROBUST = RuleSpec(rule_id="nnm-geometric-median", f=1)
MEAN = RuleSpec(rule_id="mean", f=1)


@cache
def demo_sites(seed: int) -> tuple[SiteData, ...]:
    return preset_sites(DEMO, seed)


def demo_run(seed: int, rule: RuleSpec, attacker: str) -> tuple[float, Outcome]:
    sites = demo_sites(seed)
    member, attack = parse_attacker(attacker)
    settings = replace(DEMO.settings, seed=seed)
    outcome = run_federation(sites, settings, rule, DEMO.training_rounds, {member: attack})
    return accuracy(outcome, sites[0], settings.model), outcome


def accuracy(outcome: Outcome, data: SiteData, model: str) -> float:
    network = build_network(model, len(data["test"].feature_names))
    parameters = unflatten(outcome.model, outcome.tensors, np.float64)
    return evaluate(network, parameters, data["test"])["accuracy"]


@pytest.mark.parametrize("member", [2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_robust_rule_learns_breast_cancer_despite_a_liar(seed: int, member: int) -> None:
    score, outcome = demo_run(seed, ROBUST, f"sign-flip:10@{member}")

    assert score >= 0.95
    assert outcome.flagged[member] == DEMO.training_rounds


@pytest.mark.parametrize("member", [2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_weighted_mean_is_ruined_by_the_same_liar(seed: int, member: int) -> None:
    score, _ = demo_run(seed, MEAN, f"sign-flip:10@{member}")

    assert score <= 0.30


def test_sites_alone_learn_less_than_all_rows_pooled() -> None:
    sites = demo_sites(0)

    baselines = train_baselines(
        tuple(data["training"] for data in sites),
        sites[0]["test"],
        DEMO.settings,
        DEMO.training_rounds,
    )

    alone = np.mean([metrics["accuracy"] for metrics in baselines.alone])
    assert baselines.pooled["accuracy"] >= 0.95
    assert alone < baselines.pooled["accuracy"]


def heart_sites(folder: Path) -> tuple[SiteData, ...]:
    from sklearn.model_selection import train_test_split

    sites = []
    for hospital in ("cleveland", "hungarian", "switzerland", "va"):
        source = str(folder / f"processed.{hospital}.data")
        (site,) = load_sites(replace(HEART.data, source=source, site=hospital))
        rows = site.training
        counts = np.bincount(rows.labels.astype(int))
        kept, held = train_test_split(
            np.arange(len(rows)),
            test_size=0.34,
            random_state=43,
            stratify=rows.labels if counts.min() > 2 else None,
        )
        sites.append(
            Site(name=hospital, training=rows.take(kept), hold_out=None, test=rows.take(held))
        )
    features = common_features(tuple(sites))
    data: list[SiteData] = []
    for site in sites:
        assert site.test is not None
        data.append(
            {
                "training": preprocess(site.training, features),
                "test": preprocess(site.test, features),
            }
        )
    return tuple(data)


def heart_score(sites: tuple[SiteData, ...], rule: RuleSpec) -> float:
    scores = []
    for seed in SEEDS:
        settings = replace(HEART.settings, seed=seed)
        outcome = run_federation(sites, settings, rule, HEART.training_rounds, {})
        rows = [len(data["test"].labels) for data in sites]
        hospitals = [accuracy(outcome, data, settings.model) for data in sites]
        scores.append(np.average(hospitals, weights=rows))
    return float(np.mean(scores))


@pytest.fixture
def heart(require_data: RequireData) -> tuple[SiteData, ...]:
    return heart_sites(require_data("heart_disease_uci"))


def test_heart_rows_are_those_of_the_published_split(heart: tuple[SiteData, ...]) -> None:
    rows = [(len(data["training"].labels), len(data["test"].labels)) for data in heart]

    assert rows == [(199, 104), (172, 89), (30, 16), (85, 45)]
    assert len(heart[0]["training"].feature_names) == 13


def test_robust_rule_reaches_its_score_on_four_hospitals(heart: tuple[SiteData, ...]) -> None:
    assert heart_score(heart, ROBUST) >= 0.775


def test_weighted_mean_reaches_its_score_on_four_hospitals(heart: tuple[SiteData, ...]) -> None:
    assert heart_score(heart, MEAN) >= 0.78
