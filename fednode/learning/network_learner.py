"""The built-in learner: a numpy network trained on one member's rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError, SettingsError
from fednode.learning.evaluation import evaluate
from fednode.learning.heads import Head, Task
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    FitResult,
    Metrics,
    Parameters,
    RowSet,
    TrainingSettings,
)
from fednode.learning.local_steps import Augment, train
from fednode.learning.local_terms import read_local_terms
from fednode.learning.trainable import Trainable


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLearner:
    """Trains `network` on the rows named `training`; implements `Learner`.

    `augment`, if there is one, changes the features of each batch before they are trained on.
    """

    network: Trainable
    data: Mapping[RowSet, Dataset]
    augment: Augment | None = None

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return the network's initial parameters."""
        return self.network.initial_parameters(rng)

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        """Run the settings' local steps; the figures are those on the training rows after them.

        `local_steps` among the figures says how many steps led to the result.
        """
        rows = self._rows("training")
        trained = train(self.network, parameters, rows, context, self.augment)
        metrics = evaluate(self.network, trained.parameters, rows)
        return FitResult(
            delta={name: trained.parameters[name] - values for name, values in parameters.items()},
            samples=len(rows.labels),
            metrics={**metrics, "local_steps": float(trained.steps)},
        )

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        """Return the figures of `parameters` on the named rows."""
        return evaluate(self.network, parameters, self._rows(context.rows))

    def _rows(self, name: RowSet) -> Dataset:
        if name not in self.data:
            raise DataError(
                f"there are no rows named {name}: this member has {', '.join(self.data)}"
            )
        return self.data[name]


def build_network_learner(
    network: Trainable,
    settings: TrainingSettings,
    data: Mapping[RowSet, Dataset],
    augment: Augment | None = None,
) -> NetworkLearner:
    """Return the learner of a network, checked against settings and rows.

    Raises:
        SettingsError: If the network cannot be trained as the settings say.
        DataError: If labels are not those that it learns from.
    """
    _check_class_weights(settings, network.head)
    for rows in data.values():
        network.head.check_labels(rows.labels)
    return NetworkLearner(network=network, data=data, augment=augment)


def _check_class_weights(settings: TrainingSettings, head: Head) -> None:
    weights = read_local_terms(settings).class_weights
    classes = {Task.BINARY: 2, Task.CLASSES: head.outputs}.get(head.task, 0)
    if weights and len(weights) != classes:
        raise SettingsError(
            f"the optimizer {settings.optimizer!r} has {len(weights)} class weights, the model "
            f"{settings.model!r} {classes} classes: give one for each class"
        )
