"""Each kind of task is learned on real rows; survival by six sites in production arithmetic."""

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fednode.aggregation.fixedpoint import unflatten
from fednode.aggregation.rules import RuleSpec
from fednode.learning.dataset import Dataset, pool
from fednode.learning.evaluation import evaluate
from fednode.learning.heads import Floats
from fednode.learning.learner import FitContext, Metrics
from fednode.learning.local_steps import train
from fednode.learning.models import build_network
from tests.conftest import RequireData
from tests.fednode.learning.builders import SETTINGS
from tests.fednode.learning.federation import SiteData, run_federation

MEAN = RuleSpec(rule_id="mean", f=1)
ROBUST = RuleSpec(rule_id="nnm-geometric-median", f=1)
REGIONS = 6
LAGS, STEPS_AHEAD = 21, 7


def named(features: Floats, labels: Floats) -> Dataset:
    names = tuple(f"x{column}" for column in range(features.shape[1]))
    return Dataset(features=features, labels=labels, feature_names=names)


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


def survival_sites(folder: Path) -> tuple[SiteData, ...]:
    """The published split of six regions, standardised by the statistics of all training rows."""
    with (folder / "train_test_split.csv").open(encoding="utf-8") as file:
        fold = {row["pid"]: row["fold2"] for row in csv.DictReader(file)}
    with (folder / "brca.csv").open(encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header[-2:] == ["E", "T"]
    known = [line for line in lines if line[0] in fold]
    values = np.array([line[1:] for line in known], float)
    places = np.array([fold[line[0]] for line in known])
    training = values[np.char.startswith(places, "train"), :-2]
    scale = training.std(axis=0)
    features = (values[:, :-2] - training.mean(axis=0)) / np.where(scale > 0.0, scale, 1.0)
    every = named(features, values[:, [-1, -2]])
    return tuple(
        {
            "training": every.take(np.flatnonzero(places == f"train_{region}")),
            "test": every.take(np.flatnonzero(places == f"test_{region}")),
        }
        for region in range(REGIONS)
    )


@pytest.mark.parametrize(("rule", "bar"), [(MEAN, 0.84), (ROBUST, 0.835)])
def test_six_regions_learn_survival(require_data: RequireData, rule: RuleSpec, bar: float) -> None:
    sites = survival_sites(require_data("tcga_brca"))
    settings = replace(SETTINGS, model="cox", learning_rate=0.01, batch_size=32, local_steps=50)

    rows = [(len(data["training"].labels), len(data["test"].labels)) for data in sites]
    outcome = run_federation(sites, settings, rule, 10, {})

    network = build_network("cox", sites[0]["test"].features.shape[1])
    parameters = unflatten(outcome.model, outcome.tensors, np.float64)
    metrics = evaluate(network, parameters, pool(tuple(data["test"] for data in sites)))
    assert rows == [(248, 63), (156, 40), (164, 42), (129, 33), (129, 33), (40, 11)]
    assert metrics["c_index"] >= bar


def windows(file: Path) -> tuple[Dataset, Dataset]:
    """Logarithms of beds taken in a region: 21 days, and the 7 after them; before and after a day.

    Three is about the mean, taken off so that values lie around zero.
    """
    series: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with file.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            beds = max(0.0, float(row["hospitalised_total"]))
            series[row["region_code"]].append((row["date"], np.log1p(beds) - 3.0))
    before, after = [], []
    for points in series.values():
        days = np.array([day for day, _ in points])
        values = np.array([value for _, value in points])
        table = np.lib.stride_tricks.sliding_window_view(values, LAGS + STEPS_AHEAD)
        first, last = days[LAGS - 1 : -STEPS_AHEAD], days[LAGS + STEPS_AHEAD - 1 :]
        before.append(table[last < "2021-07-01"])
        after.append(table[(first >= "2021-07-01") & (last <= "2022-06-30")])
    return (
        named(np.concatenate(before)[:, :LAGS], np.concatenate(before)[:, LAGS:]),
        named(np.concatenate(after)[:, :LAGS], np.concatenate(after)[:, LAGS:]),
    )


def test_autoregression_beats_persistence_on_beds(require_data: RequireData) -> None:
    rows, test = windows(require_data("covid19_italy_regions") / "regions_daily.csv")
    network = build_network("autoregression7", LAGS)
    rng = np.random.default_rng(0)
    start = network.initial_parameters(rng)
    settings = replace(
        SETTINGS, optimizer="adam", learning_rate=0.001, batch_size=64, local_steps=2000
    )

    context = FitContext(training_round=1, settings=settings, rng=rng)
    learned = train(network, start, rows, context).parameters

    def beds_off(parameters: dict[str, Floats]) -> float:
        forecast = network.predict(parameters, test.features)[:, -1]
        return float(np.abs(np.expm1(forecast + 3.0) - np.expm1(test.labels[:, -1] + 3.0)).mean())

    assert beds_off(start) == pytest.approx(49.6, abs=0.1)
    assert beds_off(learned) <= 37.0
