"""Accuracy, loss and AUC of parameters on a data set."""

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.learner import Metrics, Parameters
from fednode.learning.models import Network

THRESHOLD = 0.5
"""Probability above which a row is called positive."""


def evaluate(network: Network, parameters: Parameters, rows: Dataset) -> Metrics:
    """Return `samples`, `loss`, `accuracy` and, where both classes occur, `auc`."""
    scores = network.predict(parameters, rows.features)
    metrics = {
        "samples": float(len(rows.labels)),
        "loss": network.loss(parameters, rows.features, rows.labels),
        "accuracy": accuracy(scores, rows.labels),
    }
    if len(np.unique(rows.labels)) > 1:
        metrics["auc"] = area_under_curve(scores, rows.labels)
    return metrics


def accuracy(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Return the share of rows whose score lies on the side of 0.5 of their label."""
    return float(np.mean((scores > THRESHOLD) == (labels > THRESHOLD)))


def area_under_curve(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Return the chance that a positive row scores above a negative one, ties counted half.

    Args:
        scores: One score per row, shape (n,).
        labels: 0 or 1 per row, shape (n,), both present.

    Examples:
        >>> area_under_curve(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
        0.875

    References:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.
    """
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2.0
    positive = labels > THRESHOLD
    n_positive = int(positive.sum())
    n_negative = len(labels) - n_positive
    rank_sum = float(rank[place][positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative)
