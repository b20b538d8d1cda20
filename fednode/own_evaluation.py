"""The own feedback: the newest model beside the best one, on rows that are never trained on (P16).

Nothing waits for it and nothing stops when it fails: then this member has no opinion on a model.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from consensus import effects as fx
from consensus.judging import Evaluate, Evaluated
from fednode.exchange import BodyForgottenError
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.learner import Metrics, RowSet
from fednode.own_training import Trainer
from ledger.genesis import Better, FeedbackTerms
from ledger.metrics import METRIC_MAX, METRIC_SCALE

logger = logging.getLogger(__name__)

LOAD_MAX_S: Final = 30.0
"""Longest wait for a model that is not here: training waits for this turn."""


class Evaluator(Protocol):
    """Judges models on the member's rows, in the training process or, in tests, in this one."""

    async def start(self) -> None:
        """Load the member's rows, also after a failure.

        Raises:
            DataError: If the rows cannot be learned from; also `SettingsError` and `TrainerError`.
        """

    async def evaluate(self, model: NDArray[np.int32], rows: RowSet) -> Metrics:
        """Return figures of a model's parameters, shape (p,), on the named rows.

        Raises:
            DataError: If the member has no such rows.
            TrainerError: If the evaluation failed.
        """


class SiteProcess(Trainer, Evaluator, Protocol):
    """What works on the member's rows: trains and judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEvaluationParts:
    """What an evaluation works with.

    Attributes:
        evaluator: Does it.
        terms: Which figure counts.
        load_model: Returns a model's integers, shape (p,), by id and height, once it is here.
        turn: Held while the training process is busy for this node; who came first goes first.
        note: Tells a person.
    """

    evaluator: Evaluator
    terms: FeedbackTerms
    load_model: Callable[[bytes, int], Awaitable[NDArray[np.int32]]]
    turn: asyncio.Lock
    note: Callable[[fx.Notice], None]


class OwnEvaluation:
    """Evaluates in a task of its own, always the newest that the engine asked for."""

    def __init__(self, parts: OwnEvaluationParts) -> None:
        self._parts = parts
        self._next: Evaluate | None = None
        self._came = asyncio.Event()

    def ask(self, work: Evaluate) -> None:
        """Evaluate this next, instead of what was asked for and has not begun."""
        self._next = work
        self._came.set()

    async def run(self, feed: Callable[[fx.Input], None]) -> None:
        """Evaluate what is asked for and report it, until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            work, self._next = self._next, None
            if work is None:
                continue
            async with self._parts.turn:
                result = await self._evaluate(work)
            if result is not None:
                feed(result)

    async def _evaluate(self, work: Evaluate) -> Evaluated | None:
        parts = self._parts
        try:
            async with asyncio.timeout(LOAD_MAX_S):
                model = await parts.load_model(work.model_id, work.height + 1)
                best = await parts.load_model(work.best_id, work.height + 1)
            value, best_value = await self._figure(model), await self._figure(best)
        except BodyForgottenError:
            return None  # another model is the current one by now
        except TimeoutError:
            self._note(work, f"a model did not come within {LOAD_MAX_S:g} s")
            return None
        except (DataError, SettingsError, TrainerError) as error:
            self._note(work, str(error))
            return None
        return Evaluated(
            height=work.height,
            model_id=work.model_id,
            best_id=work.best_id,
            value=value,
            best_value=best_value,
        )

    async def _figure(self, model: NDArray[np.int32]) -> int:
        evaluator = self._parts.evaluator
        try:
            metrics = await evaluator.evaluate(model, "hold_out")
        except TrainerError as error:
            logger.warning("evaluation failed: %s", error)
            await evaluator.start()
            metrics = await evaluator.evaluate(model, "hold_out")
        return millionths(metrics, self._parts.terms)

    def _note(self, work: Evaluate, reason: str) -> None:
        text = f"height={work.height}: no figures of this member: {reason}"
        self._parts.note(fx.Notice(is_error=True, text=text))


def millionths(metrics: Metrics, terms: FeedbackTerms) -> int:
    """Return the figure that counts as an integer, the higher the better.

    What is no number is worse than every number: that model diverged.

    Raises:
        DataError: If the learner gave no such figure.

    Examples:
        >>> from ledger.genesis import NO_FEEDBACK
        >>> from dataclasses import replace
        >>> terms = replace(NO_FEEDBACK, metric="loss", better=Better.LOWER)
        >>> millionths({"loss": 0.25}, terms)
        -250000
    """
    if terms.metric not in metrics:
        known = ", ".join(metrics) or "none"
        raise DataError(
            f"the evaluation has no figure {terms.metric!r} as the contract wants: it has {known}"
        )
    value = metrics[terms.metric]
    if not math.isfinite(value):
        return -METRIC_MAX
    signed = -value if terms.better is Better.LOWER else value
    return max(-METRIC_MAX, min(METRIC_MAX, round(signed * METRIC_SCALE)))
