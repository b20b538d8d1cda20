"""Small data sets and settings for the tests of training."""

from pathlib import Path

import numpy as np

from fednode.learning.dataset import Dataset
from fednode.learning.learner import TrainingSettings

SETTINGS = TrainingSettings(
    model="logistic",
    learning_rate=0.1,
    momentum=0.0,
    batch_size=8,
    local_steps=20,
    worker_momentum=0.0,
    seed=7,
)


def separable(rows: int = 40, features: int = 3, seed: int = 0) -> Dataset:
    """Rows whose label is the sign of their first feature."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, features))
    return Dataset(
        features=values,
        labels=(values[:, 0] > 0.0).astype(np.float64),
        feature_names=tuple(f"x{column}" for column in range(features)),
    )


def save_npz(path: Path, rows: Dataset) -> None:
    """Write a data set as the arrays that an npz source holds."""
    np.savez(
        path,
        features=rows.features,
        labels=rows.labels,
        feature_names=np.array(rows.feature_names),
    )
