"""Learners for the tests of the training process: they wait, crash or talk."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fednode.learning.dataset import Dataset
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    FitResult,
    Metrics,
    Parameters,
    RowSet,
    TrainingSettings,
)
from fednode.learning.models import build_network
from fednode.learning.network_learner import NetworkLearner

GATE = "FEDNODE_TEST_GATE"
"""Environment variable with the path of a named pipe: `fit` waits until it is opened to write."""
BLOCKING_ROUND = 2


FitFunction = Callable[[NetworkLearner, Parameters, FitContext], FitResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class OddLearner:
    """The built-in learner with another `fit`."""

    plain: NetworkLearner
    odd_fit: FitFunction

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        return self.plain.initial_parameters(rng)

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        return self.odd_fit(self.plain, parameters, context)

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        return self.plain.evaluate(parameters, context)


def _wait(plain: NetworkLearner, parameters: Parameters, context: FitContext) -> FitResult:
    gate = Path(os.environ[GATE])
    if context.training_round == BLOCKING_ROUND and gate.exists():
        gate.read_text(encoding="utf-8")
    return plain.fit(parameters, context)


def _crash(plain: NetworkLearner, parameters: Parameters, context: FitContext) -> FitResult:
    plain.fit(parameters, context)
    os.write(2, b"Fatal Python error: Segmentation fault\n")
    os._exit(1)  # as a fault in compiled code: no exception that anybody could catch


def _talk(plain: NetworkLearner, parameters: Parameters, context: FitContext) -> FitResult:
    sys.stdout.write("loss: 0.1\n")
    sys.stdout.flush()
    os.write(1, b"raw bytes\n")
    threads = float(os.environ["OPENBLAS_NUM_THREADS"])
    result = plain.fit(parameters, context)
    return replace(result, metrics={"nice": float(os.nice(0)), "threads": threads})


def _build(odd_fit: FitFunction, n_features: int, data: Mapping[RowSet, Dataset]) -> OddLearner:
    plain = NetworkLearner(network=build_network("logistic", n_features), data=data)
    return OddLearner(plain=plain, odd_fit=odd_fit)


def build_waiting(
    _: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
) -> OddLearner:
    return _build(_wait, n_features, data)


def build_crashing(
    _: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
) -> OddLearner:
    return _build(_crash, n_features, data)


def build_talking(
    _: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
) -> OddLearner:
    return _build(_talk, n_features, data)
