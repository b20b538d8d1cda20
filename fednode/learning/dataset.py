"""A data set as models see it: numbers only, nothing missing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Rows and labels: `features` has shape (n, d), `labels` shape (n,) or (n, k).

    What the labels are depends on the model's task (`fednode.learning.heads.Task`): 0 and 1, class
    indices, values, values of several steps, or time and event.
    """

    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    feature_names: tuple[str, ...]

    def take(self, rows: NDArray[np.int64]) -> "Dataset":
        """Return the rows with these indices, in their order."""
        return Dataset(
            features=self.features[rows],
            labels=self.labels[rows],
            feature_names=self.feature_names,
        )


def pool(parts: tuple[Dataset, ...]) -> Dataset:
    """Return the rows of all parts, which have the same features, in one data set."""
    return Dataset(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        feature_names=parts[0].feature_names,
    )


def check_trainable(rows: Dataset, name: str, *, allow_one_class: bool = False) -> None:
    """Check that a model can learn from these rows.

    Raises:
        DataError: If there are no rows, or all have the same label and that is not allowed.
    """
    if not len(rows.labels):
        raise DataError(f"{name} has no rows to train on: check its file, site and split")
    has_columns = rows.labels.ndim > 1
    if not has_columns and len(np.unique(rows.labels)) == 1 and not allow_one_class:
        raise DataError(
            f"all {len(rows.labels)} training rows of {name} have the label "
            f"{int(rows.labels[0])}: expected both classes; check the label column and the rule "
            "for the positive class, or choose another split; if it is true, set "
            "data.allow_one_class"
        )
