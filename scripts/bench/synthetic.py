"""Learners of any size that train at no cost, so that a benchmark measures everything else.

Named in a contract as `synthetic:parameters_10000`; this folder must be on PYTHONPATH.
"""

from collections.abc import Callable, Mapping

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

PREFIX = "parameters_"


class Synthetic:
    """Moves every parameter by small seeded noise instead of training.

    Args:
        size: Number of parameters.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return one tensor of small random values, shape (size,)."""
        return {"values": rng.uniform(-0.1, 0.1, size=self._size)}

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        """Return seeded noise as the change."""
        del parameters
        noise = context.rng.uniform(-0.01, 0.01, size=self._size)
        return FitResult(delta={"values": noise}, samples=1, metrics={})

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        """Return no figures."""
        del parameters, context
        return {}


def __getattr__(name: str) -> Callable[..., Synthetic]:
    """Return the factory `parameters_N` for any number N."""
    if not name.startswith(PREFIX) or not name.removeprefix(PREFIX).isdigit():
        raise AttributeError(name)
    size = int(name.removeprefix(PREFIX))

    def factory(
        settings: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
    ) -> Synthetic:
        del settings, n_features, data
        return Synthetic(size)

    return factory
