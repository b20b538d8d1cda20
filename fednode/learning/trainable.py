"""What local training asks of a model: a prediction, a loss, and the slope of the loss."""

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.heads import Head
from fednode.learning.learner import Parameters

Floats: TypeAlias = NDArray[np.float64]


class Trainable(Protocol):
    """A model that the local steps train; built-in networks and PyTorch modules are such."""

    @property
    def head(self) -> Head:
        """What its outputs mean."""
        ...

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return the parameters from which training starts."""
        ...

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Return the head's prediction for each row of `features`, shape (n, d)."""
        ...

    def loss(
        self,
        parameters: Parameters,
        features: Floats,
        labels: Floats,
        weights: Floats | None = None,
    ) -> float:
        """Return the head's mean loss; `weights`, shape (n,), multiply the rows' losses."""
        ...

    def gradient(
        self,
        parameters: Parameters,
        features: Floats,
        labels: Floats,
        weights: Floats | None = None,
    ) -> Parameters:
        """Return the gradient of `loss`, one array per parameter in their order."""
        ...
