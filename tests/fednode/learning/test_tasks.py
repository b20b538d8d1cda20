"""Each kind of task is learned on real rows; survival by six sites in production arithmetic."""

from dataclasses import replace

import numpy as np
import pytest

from fednode.aggregation.rules import RuleSpec
from fednode.learning.dataset import Dataset
from fednode.learning.evaluation import evaluate
from fednode.learning.learner import FitContext, Metrics
from fednode.learning.local_steps import train
from fednode.learning.models import build_network
from tests.conftest import RequireData
from tests.fednode.learning.builders import SETTINGS
from tests.support.tasks import beds_off, named, survival_score, survival_sites


def trained(rows: Dataset, test: Dataset, model: str, **settings: float | str) -> Metrics:
    network = build_network(model, rows.features.shape[1])
    chosen = replace(SETTINGS, model=model, **settings)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    start = network.initial_parameters(rng)
    context = FitContext(training_round=1, settings=chosen, rng=rng)
    return evaluate(network, train(network, start, rows, context).parameters, test)


@pytest.mark.parametrize(
    ("model", "optimizer", "rate", "bar"),
    [("softmax10", "sgd", 0.5, 0.95), ("mlp-softmax10", "adam", 0.005, 0.96)],
)
def test_digits_are_told_apart(model: str, optimizer: str, rate: float, bar: float) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = named(digits.data / 16.0, digits.target.astype(float))
    order = np.random.default_rng(0).permutation(len(rows.labels))

    metrics = trained(
        rows.take(order[360:]),
        rows.take(order[:360]),
        model,
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=32,
        local_steps=600,
    )

    assert metrics["accuracy"] >= bar
    assert metrics["auc"] >= 0.99


def test_progression_of_diabetes_is_a_line_in_part() -> None:
    from sklearn.datasets import load_diabetes

    diabetes = load_diabetes()
    # Standardised features; the disease's progression in hundreds.
    rows = named(diabetes.data * np.sqrt(len(diabetes.target)), diabetes.target / 100.0)
    order = np.random.default_rng(0).permutation(len(rows.labels))

    metrics = trained(
        rows.take(order[110:]),
        rows.take(order[:110]),
        "linear",
        learning_rate=0.02,
        local_steps=800,
    )

    assert metrics["r2"] >= 0.4
    assert metrics["mae"] <= 0.5


@pytest.mark.parametrize(("rule_id", "bar"), [("mean", 0.84), ("nnm-geometric-median", 0.835)])
def test_six_regions_learn_survival(require_data: RequireData, rule_id: str, bar: float) -> None:
    sites = survival_sites(require_data("tcga_brca"))

    score = survival_score(sites, RuleSpec(rule_id=rule_id, f=1), 7)

    rows = [(len(data["training"].labels), len(data["test"].labels)) for data in sites]
    assert rows == [(248, 63), (156, 40), (164, 42), (129, 33), (129, 33), (40, 11)]
    assert score.pooled >= bar


def test_autoregression_beats_persistence_on_beds(require_data: RequireData) -> None:
    repeated, learned = beds_off(require_data("covid19_italy_regions") / "regions_daily.csv", 0)

    assert repeated == pytest.approx(49.6, abs=0.1)
    assert learned <= 37.0
