"""What members would reach without each other, and what all their rows in one place would reach."""

from dataclasses import dataclass, replace

from fednode.aggregation.rules import apply_delta
from fednode.learning.dataset import Dataset, pool
from fednode.learning.learner import Metrics, RowSet, TrainingSettings
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.registry import build_learner, initial_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """Figures on the test rows: of each site's own model, in their order, and of the pooled one."""

    alone: tuple[Metrics, ...]
    pooled: Metrics


def train_baselines(
    sites: tuple[Dataset, ...], test: Dataset, settings: TrainingSettings, training_rounds: int
) -> Baselines:
    """Train on each site's rows alone and on all of them, and judge both on the same test rows.

    Each model takes `training_rounds * settings.local_steps` steps from the same start.

    Args:
        sites: Training rows of each site.
        test: Rows that no model was trained on.
        settings: As in the federation; its worker momentum is left out, since nobody can lie.
        training_rounds: Number of times that a federation would aggregate.

    Raises:
        SettingsError: If there is no such model.
        TrainerError: If training diverged.
    """
    alone = [_train(number, rows, test, settings, training_rounds)
             for number, rows in enumerate(sites)]  # fmt: skip
    return Baselines(
        alone=tuple(alone),
        pooled=_train(len(sites), pool(sites), test, settings, training_rounds),
    )


def _train(
    number: int, rows: Dataset, test: Dataset, settings: TrainingSettings, training_rounds: int
) -> Metrics:
    data: dict[RowSet, Dataset] = {"training": rows, "test": test}
    n_features = len(rows.feature_names)
    tensors, model = initial_model(settings, n_features, settings.seed)
    training = LocalTraining(
        learner=build_learner(settings, n_features, data),
        settings=replace(settings, worker_momentum=0.0),
        tensors=tensors,
        member=number,
        momenta=MomentumMemory(),
    )
    for training_round in range(1, training_rounds + 1):
        model = apply_delta(model, training.fit(training_round, model).delta)
    return training.evaluate(model, "test")
