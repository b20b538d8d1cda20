"""A whole federation in one process: train, quantize, aggregate, apply; no messages, no votes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.rules import RuleSpec, aggregate, apply_delta
from fednode.attacks import Attack
from fednode.learning.dataset import Dataset
from fednode.learning.learner import RowSet, TrainingSettings
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.presets import Preset
from fednode.learning.registry import build_learner, initial_model
from fednode.learning.site_data import Site, load_sites, site_datasets
from fednode.learning.statistics import combine, site_statistics
from ledger.genesis import Feature
from ledger.reputation import QUALITY_RATE, SCALE, contribution_weights, ema, sample_clip
from ledger.tensors import TensorSpec

SiteData = Mapping[RowSet, Dataset]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The last model and who was flagged as an outlier how often."""

    tensors: tuple[TensorSpec, ...]
    model: NDArray[np.int32]
    flagged: tuple[int, ...]


def common_features(sites: tuple[Site, ...]) -> tuple[Feature, ...]:
    return combine(tuple(site_statistics(site.training) for site in sites))


def preset_sites(preset: Preset, seed: int) -> tuple[SiteData, ...]:
    sites = load_sites(replace(preset.data, seed=seed))
    features = common_features(sites)
    return tuple(site_datasets(site, features) for site in sites)


def run_federation(
    sites: tuple[SiteData, ...],
    settings: TrainingSettings,
    rule: RuleSpec,
    training_rounds: int,
    attackers: Mapping[int, Attack],
) -> Outcome:
    n_features = len(sites[0]["training"].feature_names)
    tensors, model = initial_model(settings, n_features, settings.seed)
    trainings = [
        LocalTraining(
            learner=build_learner(settings, n_features, data),
            settings=settings,
            tensors=tensors,
            member=number,
            momenta=MomentumMemory(),
            attack=attackers.get(number),
        )
        for number, data in enumerate(sites)
    ]
    samples = [len(data["training"].labels) for data in sites]
    qualities = [SCALE] * len(sites)
    flagged = [0] * len(sites)
    for training_round in range(1, training_rounds + 1):
        deltas = [training.fit(training_round, model).delta for training in trainings]
        weights = contribution_weights(
            samples, qualities, [0] * len(samples), clip=sample_clip(samples), trainer_budget=1
        )
        result = aggregate(rule, deltas, weights)
        model = apply_delta(model, result.delta)
        for number, is_outlier in enumerate(result.flags):
            target = 0 if is_outlier else SCALE
            qualities[number] = ema(qualities[number], target, 1, QUALITY_RATE)
            flagged[number] += is_outlier
    return Outcome(tensors=tensors, model=model, flagged=tuple(flagged))
