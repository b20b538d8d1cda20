"""Activations between the layers of a network, and how its matrices are drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Initialisation: TypeAlias = Callable[[np.random.Generator, int, int], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A function of each hidden unit.

    Attributes:
        apply: From the weighted sums of a layer to its values, both of one shape.
        slope: From those values to the derivative of `apply` at their sums.
    """

    apply: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


def logistic(margin: Floats) -> Floats:
    """Return 1 / (1 + exp(-margin)) without overflow at either end."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -margin)))


def _relu(sums: Floats) -> Floats:
    return np.maximum(sums, 0.0)


def _relu_slope(values: Floats) -> Floats:
    return (values > 0.0).astype(np.float64)


def _logistic_slope(values: Floats) -> Floats:
    return values * (1.0 - values)


def _tanh(sums: Floats) -> Floats:
    return np.tanh(sums)


def _tanh_slope(values: Floats) -> Floats:
    return 1.0 - values * values


def glorot_uniform(rng: np.random.Generator, inputs: int, outputs: int) -> Floats:
    """Draw a matrix, shape (inputs, outputs), uniformly within +-sqrt(6 / (inputs + outputs)).

    References:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010, equation 16.
    """
    limit = np.sqrt(6.0 / (inputs + outputs))
    return rng.uniform(-limit, limit, (inputs, outputs))


def glorot_gaussian(rng: np.random.Generator, inputs: int, outputs: int) -> Floats:
    """Draw a matrix, shape (inputs, outputs), from a Gaussian of the uniform draw's variance.

    References:
        Glorot and Bengio, 2010, equation 12: variance 2 / (inputs + outputs).
    """
    return rng.normal(0.0, np.sqrt(2.0 / (inputs + outputs)), (inputs, outputs))


ACTIVATIONS: Final[Mapping[str, Activation]] = MappingProxyType(
    {
        "relu": Activation(apply=_relu, slope=_relu_slope),
        "sigmoid": Activation(apply=logistic, slope=_logistic_slope),
        "tanh": Activation(apply=_tanh, slope=_tanh_slope),
    }
)
"""Activations by the name that a model's name has for them; the first need not be named."""
INITIALISATIONS: Final[Mapping[str, Initialisation]] = MappingProxyType(
    {"uniform": glorot_uniform, "gaussian": glorot_gaussian}
)
"""Initialisations by name; the first need not be named."""
