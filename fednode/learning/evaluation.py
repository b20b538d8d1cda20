"""Figures of parameters on a data set, those that the model's task asks for."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.calibration import brier_score
from fednode.learning.dataset import Dataset
from fednode.learning.heads import Task
from fednode.learning.learner import Metrics, Parameters
from fednode.learning.ranking import area_under_curve, concordance, macro_area_under_curve
from fednode.learning.trainable import Trainable

Floats: TypeAlias = NDArray[np.float64]

THRESHOLD = 0.5
"""Probability above which a row is called positive."""


def evaluate(network: Trainable, parameters: Parameters, rows: Dataset) -> Metrics:
    """Return `samples`, `loss` and the figures of the task, those that the rows allow.

    | task | figures |
    |---|---|
    | two classes | `accuracy`, `brier`, and `auc` where both occur |
    | classes | `accuracy`, and the mean `auc` of each class against all others |
    | values | `mae`, and `r2` where labels differ; `loss` is the mean squared error |
    | survival | `c_index` where two rows can be compared |
    """
    predictions = network.predict(parameters, rows.features)
    loss = network.loss(parameters, rows.features, rows.labels)
    return {"loss": loss, **figures(network.head.task, predictions, rows.labels)}


def figures(task: Task, predictions: Floats, labels: Floats) -> dict[str, float]:
    """Return `samples` and the figures of a task but its loss.

    Args:
        task: What labels and predictions are.
        predictions: As the heads of that task predict.
        labels: As the task says.
    """
    samples = {"samples": float(len(labels))}
    match task:
        case Task.BINARY:
            return samples | _binary_figures(predictions, labels)
        case Task.CLASSES:
            return samples | _class_figures(predictions, labels)
        case Task.VALUES:
            return samples | _value_figures(predictions, labels)
        case Task.SURVIVAL:
            index = concordance(predictions, labels[:, 0], labels[:, 1])
            return samples if index is None else samples | {"c_index": index}


def accuracy(scores: Floats, labels: Floats) -> float:
    """Return the share of rows whose score lies on the side of 0.5 of their label."""
    return float(np.mean((scores > THRESHOLD) == (labels > THRESHOLD)))


def _binary_figures(probabilities: Floats, labels: Floats) -> dict[str, float]:
    figures = {
        "accuracy": accuracy(probabilities, labels),
        "brier": brier_score(probabilities, labels),
    }
    if len(np.unique(labels)) > 1:
        figures["auc"] = area_under_curve(probabilities, labels)
    return figures


def _class_figures(probabilities: Floats, labels: Floats) -> dict[str, float]:
    figures = {"accuracy": float(np.mean(np.argmax(probabilities, axis=1) == labels))}
    if len(np.unique(labels)) > 1:
        figures["auc"] = macro_area_under_curve(probabilities, labels)
    return figures


def _value_figures(predictions: Floats, labels: Floats) -> dict[str, float]:
    figures = {"mae": float(np.mean(np.abs(predictions - labels)))}
    spread = float(np.sum((labels - labels.mean(axis=0)) ** 2))
    if spread > 0.0:
        # Over all outputs together, so that an output that hardly varies weighs little.
        figures["r2"] = 1.0 - float(np.sum((predictions - labels) ** 2)) / spread
    return figures
