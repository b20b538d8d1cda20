"""The built-in learner: a numpy network trained on one member's rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError
from fednode.learning.evaluation import evaluate
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    FitResult,
    Metrics,
    Parameters,
    RowSet,
)
from fednode.learning.local_steps import Augment, train
from fednode.learning.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLearner:
    """Trains `network` on the rows named `training`; implements `Learner`.

    `augment`, if there is one, changes the features of each batch before they are trained on.
    """

    network: Network
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
