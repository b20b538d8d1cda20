"""The learner: what a member brings to train and evaluate a model on its own rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Parameters: TypeAlias = dict[str, NDArray[np.float64]]
"""Named tensors in the order of the contract's tensor table."""
Metrics: TypeAlias = Mapping[str, float]
"""Figures by name; `fednode.learning.evaluation` says which ones the built-in models give."""
RowSet: TypeAlias = Literal["training", "hold_out", "test"]
"""Which rows: those trained on, the member's own hold-out, or a test set common to all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How every trainer of a network trains; equal at all members (rule P1).

    `momentum` is that of SGD within a training round, `worker_momentum` that of the updates across
    training rounds, both in [0, 1). `model` names a built-in model (`fednode.learning.models`) or a
    learner that members bring; `optimizer` is read by `fednode.learning.local_terms`.
    """

    model: str
    learning_rate: float
    momentum: float
    batch_size: int
    local_steps: int
    worker_momentum: float
    seed: int
    optimizer: str = "sgd"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitContext:
    """What one call of `fit` depends on besides the parameters.

    `rng` is seeded from the contract's seed, the member's number and the training round, so that
    a training round that is done again gives the same update.
    """

    training_round: int
    settings: TrainingSettings
    rng: np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What training changed: trained minus given parameters, the rows used, and figures."""

    delta: Parameters
    samples: int
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationContext:
    """Which rows `evaluate` is to judge the parameters on."""

    rows: RowSet


class Learner(Protocol):
    """Trains and evaluates one model on the rows that the learner holds."""

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return the parameters from which training starts."""
        ...

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        """Train from `parameters`, which must not be changed, and return the difference."""
        ...

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        """Return figures of `parameters` on the rows that `context` names.

        Raises:
            DataError: If the learner has no such rows.
        """
        ...
