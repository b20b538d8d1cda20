"""A learner that a member brings: whatever is wrong with it becomes one sentence.

The sentence travels to the node as a `TrainerError`: nothing is sent, the node goes on voting.
"""

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Final

import numpy as np

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError, SettingsError, TrainerError
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
from fednode.learning.learner_file import NO_CODE, OwnCode, load_factory

logger = logging.getLogger(__name__)

WORDS_MAX: Final = 300
"""Characters of an exception's text that a sentence quotes."""
METHODS: Final = ("initial_parameters", "fit", "evaluate")
EXTRAS: Final[Mapping[str, str]] = {"torch": "torch", "sklearn": "sklearn"}
"""Extra of fednode that installs a module, by the module's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLearner:
    """Checks what a member's learner takes and gives; implements `Learner`.

    Attributes:
        learner: The member's.
        name: As errors call it.
        file: Whose lines errors name; None for a module.
    """

    learner: Learner
    name: str
    file: Path | None = None

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return the learner's initial parameters, as float64.

        Raises:
            TrainerError: If it failed or gave something else.
        """
        where = "initial_parameters"
        with self._guarded(where):
            return self._floats(self.learner.initial_parameters(rng), where)

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        """Return what the learner's training changed, as float64.

        Raises:
            TrainerError: If it failed, diverged or gave something else; also for its `DataError`.
        """
        where = f"fit of training round {context.training_round}"
        with self._guarded(where):
            result: object = self._fit(parameters, context, where)
            if not isinstance(result, FitResult):
                raise self._wrong(where, "a FitResult", type(result).__name__)
            metrics = self._metrics(result.metrics, where)
            if not isfinite(metrics.get("loss", 0.0)):
                raise TrainerError(
                    f"{self._prefix(where)}: the loss is {metrics['loss']}: the training diverged, "
                    "lower the learning rate or check the data"
                )
            samples: object = result.samples
            if not isinstance(samples, int | np.integer) or samples < 0:
                raise self._wrong(where, "a number of samples", repr(samples))
            delta = self._floats(result.delta, where)
            self._check_shapes(parameters, delta, where)
            return FitResult(delta=delta, samples=int(samples), metrics=metrics)

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        """Return the learner's figures as plain numbers.

        Raises:
            DataError: If the learner has no such rows.
            TrainerError: If it failed or gave something else.
        """
        where = f"evaluate on the rows named {context.rows}"
        with self._guarded(where):
            return self._metrics(self.learner.evaluate(parameters, context), where)

    def _fit(self, parameters: Parameters, context: FitContext, where: str) -> FitResult:
        try:
            return self.learner.fit(parameters, context)
        except DataError as error:
            raise TrainerError(f"{self._prefix(where)}: {error}") from error

    def _check_shapes(self, parameters: Parameters, delta: Parameters, where: str) -> None:
        if set(delta) != set(parameters):
            raise self._wrong(where, f"tensors named {list(parameters)}", str(list(delta)))
        for name, values in delta.items():
            if values.shape != parameters[name].shape:
                expected = f"shape {parameters[name].shape} for tensor {name!r}"
                raise self._wrong(where, expected, str(values.shape))

    def _floats(self, tensors: object, where: str) -> Parameters:
        if not isinstance(tensors, Mapping):
            raise self._wrong(where, "a dict of arrays by name", type(tensors).__name__)
        made: Parameters = {}
        for name, value in tensors.items():
            array = np.asarray(value)
            if not isinstance(name, str) or array.dtype.kind not in "fiu":
                raise self._wrong(
                    where, f"an array of numbers for tensor {name!r}", f"dtype {array.dtype}"
                )
            made[name] = array.astype(np.float64)
        return made

    def _metrics(self, metrics: object, where: str) -> dict[str, float]:
        if not isinstance(metrics, Mapping):
            raise self._wrong(where, "figures by name", type(metrics).__name__)
        for name, value in metrics.items():
            if not isinstance(name, str) or not isinstance(value, Real):
                raise self._wrong(where, f"a number for the figure {name!r}", repr(value))
        return {name: float(value) for name, value in metrics.items()}

    def _wrong(self, where: str, expected: str, got: str) -> TrainerError:
        return TrainerError(f"{self._prefix(where)}: expected {expected}, got {got}")

    def _prefix(self, where: str) -> str:
        return f"the learner {self.name} failed in {where}"

    @contextmanager
    def _guarded(self, where: str) -> Iterator[None]:
        try:
            yield
        except (DataError, TrainerError):
            raise
        except (Exception, SystemExit) as error:
            logger.exception("%s", self._prefix(where))
            raise TrainerError(f"{self._prefix(where)}: {words_of(error, self.file)}") from error


def build_own(
    settings: TrainingSettings,
    n_features: int,
    data: Mapping[RowSet, Dataset],
    code: OwnCode = NO_CODE,
) -> OwnLearner:
    """Return the learner that `settings.model` names; runs the user's code.

    Args:
        settings: Of the contract.
        n_features: Inputs per row.
        data: The member's rows; empty where only initial parameters are wanted.
        code: Where the code is.

    Raises:
        SettingsError: If the code is missing, is not the contract's, needs something that is not
            installed, or cannot be run.
    """
    model = settings.model
    try:
        learner = load_factory(model, code)(settings, n_features, data)
    except (SettingsError, DataError):
        raise
    except ModuleNotFoundError as error:
        raise SettingsError(f"cannot load the learner {model}: {_needs(error)}") from error
    except (Exception, SystemExit) as error:
        logger.exception("cannot load the learner %s", model)
        raise SettingsError(
            f"cannot load the learner {model}: {words_of(error, code.file)}"
        ) from error
    missing = [name for name in METHODS if not callable(getattr(learner, name, None))]
    if missing:
        raise SettingsError(
            f"cannot load the learner {model}: expected an object with the methods "
            f"{', '.join(METHODS)}, got a {type(learner).__name__} without {', '.join(missing)}"
        )
    return OwnLearner(learner=learner, name=model, file=code.file)


def words_of(error: BaseException, file: Path | None) -> str:
    """Return one line about an exception: its kind, its text, and the user's line that raised it.

    Args:
        error: What a user's code raised.
        file: The user's file; None names no line.
    """
    text = " ".join(str(error).split())
    words = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if len(words) > WORDS_MAX:
        words = words[:WORDS_MAX] + "..."
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if file is not None and frame.filename == str(file)]
    return f"{words} (line {lines[-1]} of {file})" if lines else words


def _needs(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(module)
    package = f"fednode[{extra}]" if extra else module
    return f"it needs {module}, which is not installed here: pip install '{package}'"
