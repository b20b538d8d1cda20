"""Logistic regression and the multilayer perceptron for two classes, in float64 numpy.

Logistic regression is a network without hidden layers, so both share one forward and one backward
pass. Training never enters the hashed path: only its quantized result does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import SettingsError
from fednode.learning.learner import Parameters
from ledger.tensors import TensorSpec

HIDDEN_LAYERS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"logistic": (), "mlp": (64, 32)}
)
"""Hidden layer sizes of the built-in models by name."""
EXPONENT: Final = 16
"""Scale of the built-in models' tensors: values are multiples of 2^-16, up to +-256."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Fully connected layers with ReLU between them and one logistic output.

    `sizes` holds the layer widths from the number of features to 1.
    """

    sizes: tuple[int, ...]

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Draw uniform Glorot matrices, with zero biases; without hidden layers all is zero.

        The loss of logistic regression is convex, so a random start would add noise and nothing
        else; hidden units that start equal would stay equal.

        References:
            Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
            networks", AISTATS 2010, equation 16.
        """
        has_hidden_layer = bool(self.sizes[1:-1])
        parameters: Parameters = {}
        for layer, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            limit = np.sqrt(6.0 / (inputs + outputs)) if has_hidden_layer else 0.0
            parameters[f"matrix{layer}"] = rng.uniform(-limit, limit, (inputs, outputs))
            parameters[f"bias{layer}"] = np.zeros(outputs)
        return parameters

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Return the probability of the positive class of each row, shape (n,)."""
        return logistic(self._activations(parameters, features)[-1][:, 0])

    def loss(self, parameters: Parameters, features: Floats, labels: Floats) -> float:
        """Return the mean negative log-likelihood of `labels` in {0, 1}, in nats."""
        margin = self._activations(parameters, features)[-1][:, 0]
        return float(np.mean(np.logaddexp(0.0, margin) - labels * margin))

    def gradient(self, parameters: Parameters, features: Floats, labels: Floats) -> Parameters:
        """Return the gradient of `loss`, one array per parameter in their order."""
        activations = self._activations(parameters, features)
        margin = activations[-1][:, 0]
        error = ((logistic(margin) - labels) / len(labels))[:, np.newaxis]
        backwards: list[tuple[str, Floats]] = []
        for layer in reversed(range(len(self.sizes) - 1)):
            below = activations[layer]
            backwards.append((f"bias{layer}", error.sum(axis=0)))
            backwards.append((f"matrix{layer}", below.T @ error))
            if layer:
                error = (error @ parameters[f"matrix{layer}"].T) * (below > 0.0)
        return dict(reversed(backwards))

    def _activations(self, parameters: Parameters, features: Floats) -> list[Floats]:
        # The input, each hidden layer after its ReLU, and the output before its logistic function.
        activations = [features]
        last = len(self.sizes) - 2
        for layer in range(last + 1):
            value = activations[-1] @ parameters[f"matrix{layer}"] + parameters[f"bias{layer}"]
            activations.append(value if layer == last else np.maximum(value, 0.0))
        return activations


def logistic(margin: Floats) -> Floats:
    """Return 1 / (1 + exp(-margin)) without overflow at either end."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -margin)))


def build_network(model: str, features: int) -> Network:
    """Return the built-in network called `model` for rows of `features` values.

    Raises:
        SettingsError: If no built-in model has this name.
    """
    if model not in HIDDEN_LAYERS:
        raise SettingsError(
            f"there is no model {model!r}: choose one of {', '.join(HIDDEN_LAYERS)}, "
            "or name your own learner as package.module:factory"
        )
    return Network(sizes=(features, *HIDDEN_LAYERS[model], 1))


def tensor_table(parameters: Parameters, exponent: int = EXPONENT) -> tuple[TensorSpec, ...]:
    """Return the contract's tensor table for `parameters`, in their order."""
    return tuple(
        TensorSpec(name=name, shape=values.shape, exponent=exponent)
        for name, values in parameters.items()
    )
