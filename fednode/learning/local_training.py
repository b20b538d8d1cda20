"""One member's part of a training round: from the model's integers to the update's integers."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fixedpoint import flatten, unflatten
from fednode.attacks import Attack
from fednode.learning.errors import TrainerError
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
from fednode.learning.momentum_store import MomentumStore
from fednode.learning.optimizers import blend
from ledger.records import VALUE_MAX
from ledger.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitOutcome:
    """What a trainer offers for a training round.

    `delta` holds the update's integers in the order of the tensor table, shape (p,).
    """

    delta: NDArray[np.int32]
    samples: int
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTraining:
    """Trains and evaluates for one member; `member` is its number in the contract."""

    learner: Learner
    settings: TrainingSettings
    tensors: tuple[TensorSpec, ...]
    member: int
    momenta: MomentumStore
    attack: Attack | None = None

    def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        """Train from the model's integers, shape (p,), and return the update.

        The order is: local steps, worker momentum, attack (in test networks), quantization.
        The same training round with the same model gives the same update again.

        Raises:
            TrainerError: If training diverged, or the learner's tensors are not the contract's in
                name, shape or kind of number.
        """
        context = FitContext(
            training_round=training_round,
            settings=self.settings,
            rng=np.random.default_rng([self.settings.seed, self.member, training_round]),
        )
        # A training run that diverges is reported once, when its result is quantized.
        with np.errstate(over="ignore", invalid="ignore"):
            result = self.learner.fit(self._parameters(model), context)
        self._check_result(training_round, result)
        # Before the momentum, so that a diverged update never enters it.
        honest = self._quantize(training_round, result.delta)
        delta = result.delta
        if self.settings.worker_momentum:
            delta = self._apply_momentum(training_round, delta)
            honest = self._quantize(training_round, delta)
        return FitOutcome(
            delta=honest if self.attack is None else self._lie(delta, self.attack, training_round),
            samples=result.samples,
            metrics=result.metrics,
        )

    def evaluate(self, model: NDArray[np.int32], rows: RowSet) -> Metrics:
        """Return figures of the model on the named rows.

        Raises:
            DataError: If the member has no such rows.
            TrainerError: If the model does not fit the tensor table.
        """
        # A model that diverged has figures that are no numbers: that is what is asked for.
        with np.errstate(over="ignore", invalid="ignore"):
            return self.learner.evaluate(self._parameters(model), EvaluationContext(rows=rows))

    def _check_result(self, training_round: int, result: FitResult) -> None:
        # A learner may be anybody's code: what it returns is looked at before it is used.
        for name, values in result.delta.items():
            kind = getattr(values, "dtype", type(values).__name__)
            if not isinstance(kind, np.dtype) or kind.kind != "f":
                raise self._no_update(
                    training_round, f"expected an array of floats as tensor {name!r}, got {kind}"
                )
        if result.samples < 1:
            raise self._no_update(
                training_round, f"expected at least 1 row trained on, got {result.samples}"
            )
        loss = result.metrics.get("loss", 0.0)
        if not isfinite(loss):
            raise self._no_update(
                training_round,
                f"the loss after it is {loss}: the training diverged, lower the learning rate or "
                "check the data",
            )

    def _no_update(self, training_round: int, why: str) -> TrainerError:
        return TrainerError(
            f"member {self.member} has no update for training round {training_round}: {why}"
        )

    def _parameters(self, model: NDArray[np.int32]) -> Parameters:
        try:
            return unflatten(model, self.tensors, np.float64)
        except ValueError as error:
            raise TrainerError(f"member {self.member} cannot use the model: {error}") from error

    def _apply_momentum(self, training_round: int, delta: Parameters) -> Parameters:
        vector = np.concatenate([delta[spec.name].reshape(-1) for spec in self.tensors])
        previous = self.momenta.load_before(training_round)
        if previous is not None and previous.shape != vector.shape:
            raise TrainerError(
                f"the worker momentum has {previous.size} elements, the model {vector.size}: "
                "the state belongs to another network"
            )
        momentum = blend(vector, previous, self.settings.worker_momentum)
        self.momenta.save(training_round, momentum)
        ends = np.cumsum([spec.size for spec in self.tensors])[:-1]
        return {
            spec.name: part.reshape(spec.shape)
            for spec, part in zip(self.tensors, np.split(momentum, ends), strict=True)
        }

    def _quantize(self, training_round: int, delta: Parameters) -> NDArray[np.int32]:
        try:
            integers = flatten(delta, self.tensors)
        except ValueError as error:
            raise self._no_update(training_round, str(error)) from error
        if integers.size and np.abs(integers).max() == VALUE_MAX:
            raise self._no_update(
                training_round,
                "it is beyond the range of the tensors' scale; the training diverged, lower the "
                "learning rate or check the data",
            )
        return integers

    def _lie(self, delta: Parameters, attack: Attack, training_round: int) -> NDArray[np.int32]:
        rng = np.random.default_rng([self.settings.seed, self.member, training_round, 1])
        floats = {name: attack.apply(values, rng) for name, values in delta.items()}
        return attack.apply_to_integers(flatten(floats, self.tensors))
