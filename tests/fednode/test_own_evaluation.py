"""The own feedback: what counts, and that a failure stops nothing (rule P16)."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

import fednode.own_evaluation as module
from consensus.judging import Evaluate, Evaluated
from fednode.learning.errors import DataError, TrainerError
from fednode.learning.learner import RowSet
from fednode.own_evaluation import OwnEvaluation, OwnEvaluationParts, millionths
from ledger.genesis import Better, FeedbackTerms
from ledger.metrics import METRIC_MAX
from tests.support.feedback import FEEDBACK

MODEL, BEST = bytes([1] * 32), bytes([2] * 32)
WORK = Evaluate(height=4, model_id=MODEL, best_id=BEST)


class Judge:
    """Finds the loss that a model's first value says; fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.n_starts = 0

    async def start(self) -> None:
        self.n_starts += 1

    async def evaluate(self, model: NDArray[np.int32], rows: RowSet) -> Mapping[str, float]:
        assert rows == "hold_out"
        if self._failures:
            raise self._failures.pop(0)
        return {"loss": float(model[0]), "accuracy": 0.5}


class Run:
    def __init__(self, judge: Judge, terms: FeedbackTerms = FEEDBACK) -> None:
        self.turn = asyncio.Lock()
        self.notices: list[str] = []
        self.came: asyncio.Queue[object] = asyncio.Queue()
        self.missing: set[bytes] = set()
        self.evaluation = OwnEvaluation(
            OwnEvaluationParts(
                evaluator=judge,
                terms=terms,
                load_model=self._load,
                turn=self.turn,
                note=lambda notice: self._note(notice.text),
            )
        )

    async def _load(self, model: bytes, height: int) -> NDArray[np.int32]:
        assert height == WORK.height + 1
        if model in self.missing:
            await asyncio.Event().wait()
        return np.array([model[0]], dtype=np.int32)

    def _note(self, text: str) -> None:
        self.notices.append(text)
        self.came.put_nowait(None)

    async def result(self) -> object:
        """What comes of one evaluation; None when a notice comes instead."""
        task = asyncio.create_task(self.evaluation.run(self.came.put_nowait))
        self.evaluation.ask(WORK)
        try:
            return await asyncio.wait_for(self.came.get(), 5)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_model_and_best_are_judged_and_less_loss_is_more() -> None:
    result = await Run(Judge()).result()

    assert result == Evaluated(
        height=4, model_id=MODEL, best_id=BEST, value=-1_000_000, best_value=-2_000_000
    )


async def test_a_process_that_died_is_started_once_more() -> None:
    judge = Judge(TrainerError("killed"))

    result = await Run(judge).result()

    assert result is not None
    assert judge.n_starts == 1


@pytest.mark.parametrize(
    "failures", [(DataError("no rows"),), (TrainerError("killed"), TrainerError("killed again"))]
)
async def test_an_evaluation_that_fails_is_a_notice_and_no_stop(
    failures: tuple[Exception, ...],
) -> None:
    run = Run(Judge(*failures))

    assert await run.result() is None

    assert run.notices == [f"height=4: no figures of this member: {failures[-1]}"]


async def test_a_model_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOAD_MAX_S", 0.01)
    run = Run(Judge())
    run.missing.add(BEST)

    assert await run.result() is None

    assert "did not come within" in run.notices[0]
    assert not run.turn.locked()


async def test_an_evaluation_waits_for_its_turn() -> None:
    run = Run(Judge())
    async with run.turn:
        task = asyncio.create_task(run.evaluation.run(run.came.put_nowait))
        run.evaluation.ask(WORK)
        for _ in range(5):
            await asyncio.sleep(0)
        assert run.came.empty()
    assert isinstance(await asyncio.wait_for(run.came.get(), 5), Evaluated)
    task.cancel()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_no_number_is_the_worst(value: float) -> None:
    for better in Better:
        terms = FeedbackTerms(metric="x", better=better, hold_out=1, patience=1, tolerance=0)
        assert millionths({"x": value}, terms) == -METRIC_MAX


def test_figures_are_rounded_and_clipped() -> None:
    terms = FeedbackTerms(metric="x", better=Better.HIGHER, hold_out=1, patience=1, tolerance=0)

    assert [millionths({"x": each}, terms) for each in (0.1234567, -2.0, 1e300, -1e300)] == [
        123_457,
        -2_000_000,
        METRIC_MAX,
        -METRIC_MAX,
    ]


def test_a_figure_that_the_learner_does_not_give_is_an_error() -> None:
    with pytest.raises(DataError, match="no figure 'loss' as the contract wants: it has accuracy"):
        millionths({"accuracy": 1.0}, FEEDBACK)
