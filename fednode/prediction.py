"""Use a model: read its file, prepare rows as the contract says, predict and score."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fixedpoint import unflatten
from fednode.errors import ConfigError
from fednode.learning.calibration import brier_score, calibration_error, fit_platt
from fednode.learning.evaluation import THRESHOLD
from fednode.learning.heads import Task
from fednode.learning.models import build_network, is_built_in
from fednode.learning.preprocessing import preprocess
from fednode.learning.ranking import area_under_curve
from fednode.learning.rows import Rows
from fednode.learning.thresholds import Threshold, youden_threshold
from ledger.bodies import decode_model_body
from ledger.errors import DecodeError
from ledger.genesis import Contract, chain_id
from ledger.model_file import decode_model_file


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What a model says about rows.

    Attributes:
        probabilities: Of the positive class, shape (n,).
        labels: What was observed, 0 or 1, NaN where nothing was, shape (n,).
        threshold: Probability above which a row is called positive.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.float64]
    threshold: float = THRESHOLD

    @property
    def accuracy(self) -> float:
        """Share of the labelled rows that the model is right about; NaN without labels."""
        probabilities, labels = self.labelled()
        right = (probabilities > self.threshold) == (labels > 0.0)
        return float(right.mean()) if len(labels) else float("nan")

    @property
    def area_under_curve(self) -> float | None:
        """Chance that a positive row scores above a negative one; None without both classes."""
        return area_under_curve(*self.labelled()) if self._has_both_classes else None

    @property
    def brier_score(self) -> float | None:
        """Mean squared difference of probability and label; None without labels."""
        probabilities, labels = self.labelled()
        return brier_score(probabilities, labels) if len(labels) else None

    @property
    def calibration_error(self) -> float | None:
        """How far shares of positive rows are from their probabilities; None without labels."""
        probabilities, labels = self.labelled()
        return calibration_error(probabilities, labels) if len(labels) else None

    @property
    def best_threshold(self) -> Threshold | None:
        """The threshold of Youden's index on the labelled rows; None without both classes."""
        return youden_threshold(*self.labelled()) if self._has_both_classes else None

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """The predicted classes, shape (n,)."""
        return np.asarray(self.probabilities > self.threshold)

    def calibrated_by(self, held: "Prediction") -> "Prediction":
        """Return this with probabilities as they come true among other rows, by Platt scaling.

        Args:
            held: Of the same model, for labelled rows that it was not trained on.

        Raises:
            DataError: If those rows are not of both classes.
        """
        curve = fit_platt(*held.labelled())
        return replace(self, probabilities=curve.apply(self.probabilities))

    @property
    def _has_both_classes(self) -> bool:
        return len(np.unique(self.labelled()[1])) == len(("negative", "positive"))

    def labelled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return probabilities and labels of the rows that have a label, both of shape (k,)."""
        known = ~np.isnan(self.labels)
        return self.probabilities[known], self.labels[known]


def predict(contract: Contract, values: NDArray[np.int32], rows: Rows) -> Prediction:
    """Return a model's predictions for rows, prepared by the contract's features.

    Args:
        contract: Names model and features.
        values: The model's integers, shape (p,).
        rows: Rows as read, neither imputed nor standardised.

    Raises:
        ConfigError: If the contract's model is not a built-in one for two classes.
        DataError: If the rows lack a feature.
    """
    name = contract.model.architecture
    if not predicts_two_classes(contract):
        raise ConfigError(
            f"expected a built-in model for two classes, got {name!r}; load the model file with "
            "your own code"
        )
    data = preprocess(rows, contract.data.features)
    parameters = unflatten(values, contract.model.tensors, np.float64)
    network = build_network(name, len(contract.data.features))
    return Prediction(probabilities=network.predict(parameters, data.features), labels=data.labels)


def predicts_two_classes(contract: Contract) -> bool:
    """Return whether `predict` can use the contract's model."""
    name = contract.model.architecture
    features = len(contract.data.features)
    return is_built_in(name) and build_network(name, features).head.task is Task.BINARY


def load_model_values(path: Path, contract: Contract) -> NDArray[np.int32]:
    """Return the integers in a model file, shape (p,).

    Raises:
        ConfigError: If it is no model file, or one of another chain.
    """
    try:
        model = decode_model_file(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"expected a model file at {path}, got: {error.strerror}; 'fednode model export' "
            "writes one"
        ) from None
    except DecodeError as error:
        raise ConfigError(f"{path}: expected a model file, got: {error}; export it again") from None
    origin = dict(model.metadata).get("chain_id", "")
    if origin != chain_id(contract).hex() or model.tensors != contract.model.tensors:
        raise ConfigError(
            f"{path}: expected a model of chain {chain_id(contract).hex()[:16]}, got one of "
            f"{origin[:16] or 'nowhere'}; name the genesis that it belongs to"
        )
    return np.frombuffer(model.values, dtype="<i4").astype(np.int32)


def body_values(body: bytes, contract: Contract) -> NDArray[np.int32]:
    """Return the integers in a model's body, shape (p,)."""
    return np.frombuffer(decode_model_body(body, contract.model.tensors), "<i4").astype(np.int32)
