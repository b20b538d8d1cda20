"""Train a network on one member's rows for one training round."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError, TrainerError
from fednode.learning.learner import FitContext, Parameters
from fednode.learning.local_terms import LocalTerms, read_local_terms
from fednode.learning.trainable import Trainable

Floats: TypeAlias = NDArray[np.float64]
Augment: TypeAlias = Callable[[Floats, np.random.Generator], Floats]
"""From the features of a batch, shape (n, d), to those that are trained on in their place, such as
images shifted at random; what it is given must not be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Parameters after training, and how many steps led to them."""

    parameters: Parameters
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One member's training round, all but the point where it is."""

    network: Trainable
    start: Parameters
    rows: Dataset
    terms: LocalTerms
    augment: Augment | None


def train(
    network: Trainable,
    parameters: Parameters,
    rows: Dataset,
    context: FitContext,
    augment: Augment | None = None,
) -> Trained:
    """Return `parameters` after the settings' number of steps over shuffled batches.

    With early stopping, the loss on rows that are set aside is looked at after each pass over the
    others, and the parameters of the best look are returned. The start is never returned: a member
    that has nothing better to say still sends what its rows taught it.

    Raises:
        SettingsError: If the settings' optimizer cannot be read.
        DataError: If there are too few rows to set the share aside.
        TrainerError: If augmentation changes the shape or kind of the features.

    References:
        The pull to the start: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys
        2020, equation 2 (FedProx); solved by a fixed number of steps.
    """
    terms, settings = read_local_terms(context.settings), context.settings
    validation: Dataset | None = None
    if terms.validation:
        rows, validation = _set_aside(rows, terms.validation, context.rng)
    job = Job(network=network, start=parameters, rows=rows, terms=terms, augment=augment)
    current = {name: values.copy() for name, values in parameters.items()}
    memory: dict[str, tuple[Floats, ...]] = dict.fromkeys(parameters, ())
    batches = shuffled_batches(len(rows.labels), settings.batch_size, context.rng)
    pass_steps = max(1, len(rows.labels) // settings.batch_size)
    best, lowest, worse = Trained(parameters=current, steps=0), np.inf, 0
    for count in range(1, settings.local_steps + 1):
        for name, slope in _slopes(job, current, next(batches), context.rng).items():
            current[name], memory[name] = terms.optimizer.step(
                current[name], slope, memory[name], count
            )
        if validation is None or (count % pass_steps and count < settings.local_steps):
            continue
        loss = network.loss(current, validation.features, validation.labels)
        if loss < lowest or not best.steps:
            best, lowest, worse = Trained(parameters=dict(current), steps=count), loss, 0
            continue
        worse += 1
        if worse == terms.patience:
            break
    return best if best.steps else Trained(parameters=current, steps=settings.local_steps)


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


def _slopes(
    job: Job, current: Parameters, batch: NDArray[np.int64], rng: np.random.Generator
) -> Parameters:
    features, labels = job.rows.features[batch], job.rows.labels[batch]
    if job.augment is not None:
        features = _augmented(job.augment, features, rng)
    weights: Floats | None = None
    if job.terms.class_weights:
        weights = np.array(job.terms.class_weights)[labels.astype(np.int64)]
    slopes = job.network.gradient(current, features, labels, weights)
    if job.terms.proximal:
        for name, values in current.items():
            slopes[name] = slopes[name] + job.terms.proximal * (values - job.start[name])
    return slopes


def _augmented(augment: Augment, features: Floats, rng: np.random.Generator) -> Floats:
    made = augment(features, rng)
    if made.shape != features.shape or made.dtype != features.dtype:
        raise TrainerError(
            f"expected {features.dtype} features of shape {features.shape} from the augmentation, "
            f"got {made.dtype} of shape {made.shape}"
        )
    return made


def _set_aside(rows: Dataset, share: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
    order = rng.permutation(len(rows.labels))
    count = round(share * len(order))
    if not 0 < count < len(order):
        raise DataError(
            f"{len(order)} training rows are too few to set {share:g} of them aside for early "
            "stopping: leave out 'stop', or bring more rows"
        )
    return rows.take(order[count:]), rows.take(order[:count])
