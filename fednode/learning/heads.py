"""What a network's outputs mean: the loss by which it learns, its slope, and the prediction.

Every loss is a mean over rows. `slope` is its derivative by the outputs, so a network only has to
carry it backwards. Row weights, where there are any, multiply each row's loss before the mean.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError
from fednode.learning.layers import logistic

Floats: TypeAlias = NDArray[np.float64]


class Task(Enum):
    """What the labels of a data set are, and by which figures predictions are judged.

    `Dataset.labels` has shape (n,) for BINARY (0 or 1), CLASSES (indices from 0) and VALUES with
    one output, (n, outputs) for VALUES with more, and (n, 2) for SURVIVAL: time, and 1
    where the event was seen then, 0 where the row left without it.
    """

    BINARY = "binary"
    CLASSES = "classes"
    VALUES = "values"
    SURVIVAL = "survival"


class Head(Protocol):
    """The last step of a network, from its outputs, shape (n, outputs), to loss and prediction."""

    @property
    def task(self) -> Task:
        """What it learns."""
        ...

    @property
    def outputs(self) -> int:
        """Number of outputs that the network must have."""
        ...

    @property
    def has_bias(self) -> bool:
        """Whether a constant added to the outputs makes a difference."""
        ...

    def check_labels(self, labels: Floats) -> None:
        """Check that labels are of this task.

        Raises:
            DataError: If their shape or a value is not.
        """
        ...

    def loss(self, outputs: Floats, labels: Floats, weights: Floats | None) -> float:
        """Return the mean loss; `weights`, shape (n,), multiply the rows' losses."""
        ...

    def slope(self, outputs: Floats, labels: Floats, weights: Floats | None) -> Floats:
        """Return the derivative of `loss` by the outputs, shape (n, outputs)."""
        ...

    def predict(self, outputs: Floats) -> Floats:
        """Return the prediction for each row; its shape is said by each head."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """Two classes by one output; predicts the probability of class 1, shape (n,)."""

    task: ClassVar[Task] = Task.BINARY
    outputs: ClassVar[int] = 1
    has_bias: ClassVar[bool] = True

    def check_labels(self, labels: Floats) -> None:
        """Check that all labels are 0 or 1, shape (n,)."""
        _check_classes(labels, 2)

    def loss(self, outputs: Floats, labels: Floats, weights: Floats | None) -> float:
        """Return the mean negative log-likelihood in nats."""
        margin = outputs[:, 0]
        return _mean(np.logaddexp(0.0, margin) - labels * margin, weights)

    def slope(self, outputs: Floats, labels: Floats, weights: Floats | None) -> Floats:
        """Return (probability - label) / n."""
        error = (logistic(outputs[:, 0]) - labels) / len(labels)
        return _weighted(error[:, np.newaxis], weights)

    def predict(self, outputs: Floats) -> Floats:
        """Return the probability of class 1."""
        return logistic(outputs[:, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax:
    """One output per class; predicts the probability of each class, shape (n, classes)."""

    task: ClassVar[Task] = Task.CLASSES
    has_bias: ClassVar[bool] = True
    outputs: int

    def check_labels(self, labels: Floats) -> None:
        """Check that all labels are class indices, shape (n,)."""
        _check_classes(labels, self.outputs)

    def loss(self, outputs: Floats, labels: Floats, weights: Floats | None) -> float:
        """Return the mean cross-entropy in nats."""
        chosen = outputs[np.arange(len(labels)), labels.astype(np.int64)]
        return _mean(np.logaddexp.reduce(outputs, axis=1) - chosen, weights)

    def slope(self, outputs: Floats, labels: Floats, weights: Floats | None) -> Floats:
        """Return (probabilities - indicator of the label) / n."""
        error = self.predict(outputs)
        error[np.arange(len(labels)), labels.astype(np.int64)] -= 1.0
        return _weighted(error / len(labels), weights)

    def predict(self, outputs: Floats) -> Floats:
        """Return the probabilities; each row adds up to 1."""
        return np.asarray(np.exp(outputs - np.logaddexp.reduce(outputs, axis=1, keepdims=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredError:
    """Real values; predicts them, shape (n,) with one output, else (n, outputs).

    The loss is the mean over rows and outputs of the squared difference, without a factor 1/2.
    """

    task: ClassVar[Task] = Task.VALUES
    has_bias: ClassVar[bool] = True
    outputs: int

    def check_labels(self, labels: Floats) -> None:
        """Check that there is one finite value per row and output."""
        rows = len(labels)
        expected = (rows,) if self.outputs == 1 else (rows, self.outputs)
        if labels.shape != expected:
            raise DataError(
                f"expected labels of shape {expected}, got {labels.shape}: the model predicts "
                f"{self.outputs} per row"
            )
        if not np.isfinite(labels).all():
            raise DataError("expected finite numbers as labels, got a missing or infinite one")

    def loss(self, outputs: Floats, labels: Floats, weights: Floats | None) -> float:
        """Return the mean squared error in squared units of the labels."""
        return _mean(np.mean(self._difference(outputs, labels) ** 2, axis=1), weights)

    def slope(self, outputs: Floats, labels: Floats, weights: Floats | None) -> Floats:
        """Return 2 (output - label) / (n * outputs)."""
        difference = self._difference(outputs, labels)
        return _weighted(2.0 * difference / difference.size, weights)

    def predict(self, outputs: Floats) -> Floats:
        """Return the outputs as they are."""
        return outputs[:, 0] if self.outputs == 1 else outputs

    def _difference(self, outputs: Floats, labels: Floats) -> Floats:
        return outputs - labels.reshape(outputs.shape)


def _mean(losses: Floats, weights: Floats | None) -> float:
    return float(np.mean(losses if weights is None else losses * weights))


def _weighted(slope: Floats, weights: Floats | None) -> Floats:
    return slope if weights is None else slope * weights[:, np.newaxis]


def _check_classes(labels: Floats, classes: int) -> None:
    if labels.ndim != 1:
        raise DataError(f"expected labels of shape (n,), got {labels.shape}: one class per row")
    is_known = (labels >= 0.0) & (labels < classes) & (labels == np.floor(labels))
    if not is_known.all():
        raise DataError(
            f"expected classes 0 to {classes - 1} as labels, got {labels[np.argmin(is_known)]:g}: "
            "choose the model for the classes that there are, or check the label column"
        )
