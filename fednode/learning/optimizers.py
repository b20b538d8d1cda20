"""Optimizers of local training as pure steps, and the momentum of updates across training rounds.

A step takes one tensor's values, its gradient and what the optimizer remembers of that tensor, and
returns new values and memory; nothing is changed in place. All memory is forgotten between training
rounds, since the model moves in between.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Memory: TypeAlias = tuple[Floats, ...]
"""What an optimizer remembers of one tensor, in arrays of its shape; nothing at first."""


class Optimizer(Protocol):
    """A rule for one step of gradient descent."""

    def step(
        self, values: Floats, gradient: Floats, memory: Memory, count: int
    ) -> tuple[Floats, Memory]:
        """Return one tensor's values and memory after step number `count`, the first being 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent; with `momentum` above 0 by the heavy ball.

    `v <- momentum * v + g`, `x <- x - learning_rate * v`, from `v = 0`.

    References:
        Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; with the
        learning rate outside of the velocity, which for a constant rate makes no difference.
    """

    learning_rate: float
    momentum: float = 0.0

    def step(
        self, values: Floats, gradient: Floats, memory: Memory, count: int
    ) -> tuple[Floats, Memory]:
        """Return values and velocity after a step."""
        del count
        velocity = self.momentum * memory[0] + gradient if memory else gradient
        return values - self.learning_rate * velocity, (velocity,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Adam, and AdamW where `decay` is above 0: each value has a step size of its own.

    References:
        Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2, with
        the decay multiplied by the learning rate as in PyTorch. Biases decay like matrices.
    """

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0

    def step(
        self, values: Floats, gradient: Floats, memory: Memory, count: int
    ) -> tuple[Floats, Memory]:
        """Return values and both moments after a step."""
        mean, square = memory or (np.zeros_like(values), np.zeros_like(values))
        mean = self.beta1 * mean + (1.0 - self.beta1) * gradient
        square = self.beta2 * square + (1.0 - self.beta2) * gradient**2
        mean_unbiased = mean / (1.0 - self.beta1**count)
        square_unbiased = square / (1.0 - self.beta2**count)
        kept = values * (1.0 - self.learning_rate * self.decay)
        change = self.learning_rate * mean_unbiased / (np.sqrt(square_unbiased) + self.epsilon)
        return kept - change, (mean, square)


def blend(delta: Floats, previous: Floats | None, momentum: float) -> Floats:
    """Return the momentum of updates: `momentum * previous + (1 - momentum) * delta`.

    The first update, without a `previous`, is taken as it is. Averaging over training rounds makes
    the spread of honest updates small, and so the room in which an attacker can hide.

    References:
        Karimireddy, He and Jaggi, "Learning from History for Byzantine Robust Optimization",
        ICML 2021, algorithm 2, with beta_1 = 0. The average is over updates of many local steps
        in place of single gradients.
    """
    if previous is None:
        return delta
    return momentum * previous + (1.0 - momentum) * delta
