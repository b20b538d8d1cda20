"""A fully connected network with any number of hidden layers, in float64 numpy.

Linear models are networks without hidden layers, so all share one forward and one backward pass.
Training never enters the hashed path: only its quantized result does.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.heads import Head
from fednode.learning.layers import ACTIVATIONS, INITIALISATIONS
from fednode.learning.learner import Parameters

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Layers `x @ matrix + bias` with an activation between them, and a head.

    Attributes:
        sizes: Layer widths, from the number of features to `head.outputs`.
        head: What the outputs mean.
        activation: One of `ACTIVATIONS`.
        initialisation: One of `INITIALISATIONS`.
        repeats_last: Without hidden layers: start by predicting the last feature, not 0.
    """

    sizes: tuple[int, ...]
    head: Head
    activation: str = "relu"
    initialisation: str = "uniform"
    repeats_last: bool = False

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Draw matrices, with zero biases; without hidden layers nothing is drawn.

        The loss of a linear model is convex, so a random start would add noise and nothing else;
        hidden units that start equal would stay equal.
        """
        draw = INITIALISATIONS[self.initialisation]
        has_hidden_layer = bool(self.sizes[1:-1])
        parameters: Parameters = {}
        for layer, shape in enumerate(pairwise(self.sizes)):
            matrix = draw(rng, *shape) if has_hidden_layer else np.zeros(shape)
            parameters[f"matrix{layer}"] = matrix
            if self._has_bias(layer):
                parameters[f"bias{layer}"] = np.zeros(shape[1])
        if self.repeats_last:
            parameters["matrix0"][-1] = 1.0
        return parameters

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Return the head's prediction for each row of `features`, shape (n, d)."""
        return self.head.predict(self._activations(parameters, features)[-1])

    def loss(
        self,
        parameters: Parameters,
        features: Floats,
        labels: Floats,
        weights: Floats | None = None,
    ) -> float:
        """Return the head's mean loss; `weights`, shape (n,), multiply the rows' losses."""
        outputs = self._activations(parameters, features)[-1]
        return self.head.loss(outputs, labels, weights)

    def gradient(
        self,
        parameters: Parameters,
        features: Floats,
        labels: Floats,
        weights: Floats | None = None,
    ) -> Parameters:
        """Return the gradient of `loss`, one array per parameter in their order."""
        slope_of = ACTIVATIONS[self.activation].slope
        activations = self._activations(parameters, features)
        error = self.head.slope(activations[-1], labels, weights)
        backwards: list[tuple[str, Floats]] = []
        for layer in reversed(range(len(self.sizes) - 1)):
            below = activations[layer]
            if self._has_bias(layer):
                backwards.append((f"bias{layer}", error.sum(axis=0)))
            backwards.append((f"matrix{layer}", below.T @ error))
            if layer:
                error = (error @ parameters[f"matrix{layer}"].T) * slope_of(below)
        return dict(reversed(backwards))

    def _has_bias(self, layer: int) -> bool:
        return self.head.has_bias or layer < len(self.sizes) - 2

    def _activations(self, parameters: Parameters, features: Floats) -> list[Floats]:
        # The input, each hidden layer after its activation, and the outputs before the head.
        apply = ACTIVATIONS[self.activation].apply
        activations = [features]
        last = len(self.sizes) - 2
        for layer in range(last + 1):
            sums = activations[-1] @ parameters[f"matrix{layer}"]
            if self._has_bias(layer):
                sums = sums + parameters[f"bias{layer}"]
            activations.append(sums if layer == last else apply(sums))
        return activations
