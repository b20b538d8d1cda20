"""SGD with momentum within a training round, and the momentum of updates across them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.learner import FitContext, Parameters
from fednode.learning.models import Network


def train(
    network: Network, parameters: Parameters, rows: Dataset, context: FitContext
) -> Parameters:
    """Return `parameters` after the settings' number of SGD steps over shuffled batches.

    Heavy-ball momentum starts from rest in each training round: `v <- momentum * v + g`,
    `x <- x - learning_rate * v`.
    """
    settings = context.settings
    current = {name: values.copy() for name, values in parameters.items()}
    velocity = {name: np.zeros_like(values) for name, values in parameters.items()}
    batches = shuffled_batches(len(rows.labels), settings.batch_size, context.rng)
    for _ in range(settings.local_steps):
        batch = next(batches)
        gradient = network.gradient(current, rows.features[batch], rows.labels[batch])
        for name, slope in gradient.items():
            velocity[name] = settings.momentum * velocity[name] + slope
            current[name] -= settings.learning_rate * velocity[name]
    return current


def shuffled_batches(
    rows: int, batch_size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield row indices batch by batch, without end, in a new order for each local epoch.

    Every batch has `min(batch_size, rows)` rows; what is left over at the end of a local epoch is
    skipped, and has the same chance as every other row to be used in the next.
    """
    size = min(batch_size, rows)
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows - size + 1, size):
            yield order[start : start + size]


def blend(
    delta: NDArray[np.float64], previous: NDArray[np.float64] | None, momentum: float
) -> NDArray[np.float64]:
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
