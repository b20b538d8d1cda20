"""Estimators of scikit-learn as learners: `MyLearner = sklearn_learner(build)`.

| estimator | parameters | one training round |
|---|---|---|
| linear, with `partial_fit` | `coef`, `intercept` | as many batches as there are local steps |
| linear, without | the same | `fit`; where it has `max_iter` and `warm_start`, so many iterations |
| multilayer perceptron | `coef0`, `intercept0`, ... | batches, too |

With `partial_fit` are SGDClassifier, SGDRegressor and Perceptron, without are LogisticRegression,
Ridge and LinearRegression. Linear models start at zero, networks as Glorot draws them. Whatever
else an estimator keeps, such as an optimizer's moments or a step count, begins anew with each
training round, so that one that is done again gives the same update. A `random_state` that is left
open follows from the contract's seed. The learning rate is the estimator's own: `build` gets the
contract's settings to pass it on.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError, SettingsError
from fednode.learning.evaluation import figures
from fednode.learning.heads import Task
from fednode.learning.layers import INITIALISATIONS
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    FitResult,
    Learner,
    Metrics,
    Parameters,
    RowSet,
    TrainingSettings,
)
from fednode.learning.learner_file import LearnerFactory
from fednode.learning.local_steps import shuffled_batches

Estimator: TypeAlias = Any
"""scikit-learn has no types."""
Build: TypeAlias = Callable[[TrainingSettings], Estimator]
Floats: TypeAlias = NDArray[np.float64]
PROBABILITY_MIN: Final = 1e-15
"""Smallest probability that enters a logarithm."""
RANDOM_STATE_END: Final = 2**31


def sklearn_learner(build: Build, *, classes: int = 2) -> LearnerFactory:
    """Return what makes a learner of an estimator, to be named in a learner file.

    Args:
        build: Makes the estimator, not fitted, from the contract's settings.
        classes: Number of classes, whose labels are 0, 1, ...; not used for regressors.
    """

    def make(
        settings: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
    ) -> Learner:
        learner = SklearnLearner(
            build=build, settings=settings, n_features=n_features, classes=classes, data=data
        )
        learner.check()
        return learner

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class SklearnLearner:
    """Trains a new estimator in each training round, from the model's parameters."""

    build: Build
    settings: TrainingSettings
    n_features: int
    classes: int
    data: Mapping[RowSet, Dataset]

    def check(self) -> None:
        """Check that the estimator is of a kind whose parameters are known.

        Raises:
            SettingsError: If it is not.
        """
        estimator = self._shaped(np.random.default_rng(0))
        if not (hasattr(estimator, "coef_") or hasattr(estimator, "coefs_")):
            raise SettingsError(
                "expected a linear model or a multilayer perceptron of scikit-learn, with coef_ or "
                f"coefs_ after fit, got {type(estimator).__name__}, which has neither"
            )

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return zeros for a linear model; else uniform Glorot matrices and zero intercepts."""
        parameters = _read(self._shaped(np.random.default_rng(0)))
        draw = INITIALISATIONS["uniform"]
        is_network = "coef0" in parameters
        return {
            name: draw(rng, *values.shape)
            if is_network and name.startswith("coef")
            else np.zeros(values.shape)
            for name, values in parameters.items()
        }

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        """Train on the rows named `training`; the figures are those on them afterwards."""
        rows, settings = self._rows("training"), context.settings
        estimator = self._with(parameters, context.rng)
        labels = self._labels(estimator, rows)
        with _impatient():
            if hasattr(estimator, "partial_fit"):
                batches = shuffled_batches(len(labels), settings.batch_size, context.rng)
                for _ in range(settings.local_steps):
                    batch = next(batches)
                    estimator.partial_fit(rows.features[batch], labels[batch])
            else:
                wanted = {"warm_start": True, "max_iter": settings.local_steps}
                known = estimator.get_params()
                estimator.set_params(**{k: v for k, v in wanted.items() if k in known})
                estimator.fit(rows.features, labels)
        trained = _read(estimator)
        return FitResult(
            delta={name: trained[name] - values for name, values in parameters.items()},
            samples=len(labels),
            metrics=self._figures(estimator, rows),
        )

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        """Return the figures of `parameters` on the named rows."""
        estimator = self._with(parameters, np.random.default_rng(0))
        return self._figures(estimator, self._rows(context.rows))

    def _rows(self, name: RowSet) -> Dataset:
        if name not in self.data:
            raise DataError(
                f"there are no rows named {name}: this member has {', '.join(self.data)}"
            )
        return self.data[name]

    def _labels(self, estimator: Estimator, rows: Dataset) -> NDArray[Any]:
        return rows.labels.astype(np.int64) if _is_classifier(estimator) else rows.labels

    def _with(self, parameters: Parameters, rng: np.random.Generator) -> Estimator:
        estimator = self._shaped(rng)
        _write(estimator, parameters)
        return estimator

    def _shaped(self, rng: np.random.Generator) -> Estimator:
        """Return an estimator that knows its classes and has arrays of the right shape."""
        estimator = self.build(self.settings)
        if estimator.get_params().get("random_state", 0) is None:
            estimator.set_params(random_state=int(rng.spawn(1)[0].integers(RANDOM_STATE_END)))
        count = max(2, self.classes)
        features = np.zeros((count, self.n_features))
        features[np.arange(count), np.arange(count) % self.n_features] = 1.0
        is_classifier = _is_classifier(estimator)
        labels = np.arange(count) if is_classifier else np.zeros(count)
        with _impatient():
            if not hasattr(estimator, "partial_fit"):
                estimator.fit(features, labels)
            elif is_classifier:
                estimator.partial_fit(features, labels, classes=labels)
            else:
                estimator.partial_fit(features, labels)
        return estimator

    def _figures(self, estimator: Estimator, rows: Dataset) -> Metrics:
        samples = {"samples": float(len(rows.labels))}
        if not _is_classifier(estimator):
            predicted = np.asarray(estimator.predict(rows.features), np.float64)
            loss = float(np.mean((predicted - rows.labels) ** 2))
            return samples | {"loss": loss} | figures(Task.VALUES, predicted, rows.labels)
        if not hasattr(estimator, "predict_proba"):
            hits = estimator.predict(rows.features) == rows.labels
            return samples | {"accuracy": float(np.mean(hits))}
        probabilities = np.asarray(estimator.predict_proba(rows.features), np.float64)
        own = probabilities[np.arange(len(rows.labels)), rows.labels.astype(np.int64)]
        loss = float(-np.mean(np.log(np.maximum(own, PROBABILITY_MIN))))
        is_binary = self.classes == 2  # noqa: PLR2004  # yes and no
        task = Task.BINARY if is_binary else Task.CLASSES
        shown = probabilities[:, 1] if is_binary else probabilities
        return samples | {"loss": loss} | figures(task, shown, rows.labels)


def _is_classifier(estimator: Estimator) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(estimator))


def _read(estimator: Estimator) -> Parameters:
    if hasattr(estimator, "coefs_"):
        parameters: Parameters = {}
        for layer, (matrix, offset) in enumerate(
            zip(estimator.coefs_, estimator.intercepts_, strict=True)
        ):
            parameters[f"coef{layer}"] = np.array(matrix, np.float64)
            parameters[f"intercept{layer}"] = np.array(offset, np.float64)
        return parameters
    parameters = {"coef": np.array(estimator.coef_, np.float64)}
    if estimator.get_params().get("fit_intercept", True):
        parameters["intercept"] = np.array(estimator.intercept_, np.float64).reshape(-1)
    return parameters


def _write(estimator: Estimator, parameters: Parameters) -> None:
    if hasattr(estimator, "coefs_"):
        layers = range(len(estimator.coefs_))
        estimator.coefs_ = [parameters[f"coef{layer}"].copy() for layer in layers]
        estimator.intercepts_ = [parameters[f"intercept{layer}"].copy() for layer in layers]
        # Its optimizer holds the arrays that were there before: the next step makes another one.
        estimator.__dict__.pop("_optimizer", None)
        return
    estimator.coef_ = parameters["coef"].copy()
    if "intercept" in parameters:
        offset = parameters["intercept"].copy()
        estimator.intercept_ = offset if np.ndim(estimator.intercept_) else float(offset[0])


@contextmanager
def _impatient() -> Iterator[None]:
    """Training that ends after so many steps, not when it converged, is what is asked for."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
