"""Real rows of other tasks than two classes: survival in six regions, beds in twenty-one."""

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from fednode.aggregation.fixedpoint import unflatten
from fednode.aggregation.rules import RuleSpec
from fednode.learning.dataset import Dataset, pool
from fednode.learning.evaluation import evaluate
from fednode.learning.heads import Floats
from fednode.learning.learner import FitContext, TrainingSettings
from fednode.learning.local_steps import train
from fednode.learning.models import build_network
from tests.fednode.learning.federation import SiteData, run_federation

REGIONS = 6
LAGS, STEPS_AHEAD = 21, 7
TRAINING_ROUNDS = 10
SURVIVAL = TrainingSettings(
    model="cox",
    learning_rate=0.01,
    momentum=0.0,
    batch_size=32,
    local_steps=50,
    worker_momentum=0.0,
    seed=0,
)
BEDS = TrainingSettings(
    model="autoregression7",
    optimizer="adam",
    learning_rate=0.001,
    momentum=0.0,
    batch_size=256,
    local_steps=2000,
    worker_momentum=0.0,
    seed=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalScore:
    """C-index on each region's test rows, in their order, and on all of them."""

    regions: tuple[float, ...]
    pooled: float

    @property
    def region_mean(self) -> float:
        return fmean(self.regions)


def named(features: Floats, labels: Floats) -> Dataset:
    names = tuple(f"x{column}" for column in range(features.shape[1]))
    return Dataset(features=features, labels=labels, feature_names=names)


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


def survival_score(sites: tuple[SiteData, ...], rule: RuleSpec, seed: int) -> SurvivalScore:
    """What the regions learn together, in production arithmetic."""
    outcome = run_federation(sites, replace(SURVIVAL, seed=seed), rule, TRAINING_ROUNDS, {})
    network = build_network(SURVIVAL.model, sites[0]["test"].features.shape[1])
    parameters = unflatten(outcome.model, outcome.tensors, np.float64)
    tests = tuple(data["test"] for data in sites)
    return SurvivalScore(
        regions=tuple(evaluate(network, parameters, rows)["c_index"] for rows in tests),
        pooled=evaluate(network, parameters, pool(tests))["c_index"],
    )


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


def beds_off(file: Path, seed: int) -> tuple[float, float]:
    """Mean error in beds seven days ahead: of the newest value repeated, and of what is learned."""
    rows, test = windows(file)
    network, rng = build_network(BEDS.model, LAGS), np.random.default_rng(seed)
    start = network.initial_parameters(rng)
    context = FitContext(training_round=1, settings=BEDS, rng=rng)
    learned = train(network, start, rows, context).parameters

    def error(parameters: dict[str, Floats]) -> float:
        forecast = network.predict(parameters, test.features)[:, -1]
        return float(np.abs(np.expm1(forecast + 3.0) - np.expm1(test.labels[:, -1] + 3.0)).mean())

    return error(start), error(learned)
