"""The own trainer: slow, failing, overtaken; a member always offers again (rules P10, P11)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fednode.own_training as module
from consensus import effects as fx
from fednode.exchange import BodyForgottenError
from fednode.journal import Journal
from fednode.kept_bodies import KeptBodies
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.local_training import FitOutcome
from fednode.own_training import OwnTraining, OwnTrainingParts
from ledger.blobs import Blobs
from tests.support.ledger import contract
from tests.support.network import HeightWatch

CONTRACT = contract(4)
OUTCOME = FitOutcome(
    delta=np.zeros(CONTRACT.model.n_elements, dtype=np.int32), samples=1, metrics={}
)


class Script:
    """A trainer that does what it is told: an error to raise, or an event to wait for."""

    def __init__(
        self, *fits: Exception | asyncio.Event, starts: tuple[Exception, ...] = ()
    ) -> None:
        self._fits = list(fits)
        self._starts = list(starts)
        self.began = asyncio.Event()
        self.trained: list[int] = []
        self.n_starts = 0

    async def start(self) -> None:
        self.n_starts += 1
        if self._starts:
            raise self._starts.pop(0)

    async def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        del model
        self.trained.append(training_round)
        self.began.set()
        match self._fits.pop(0) if self._fits else None:
            case Exception() as error:
                raise error
            case asyncio.Event() as event:
                await event.wait()
            case None:
                pass
        return OUTCOME


def work(height: int) -> fx.Train:
    return fx.Train(height=height, training_round=height, base_model_id=bytes([height] * 32))


class Run:
    def __init__(self, folder: Path, trainer: Script) -> None:
        self.watch = HeightWatch()
        self.fed: asyncio.Queue[fx.Input] = asyncio.Queue()
        self.forgotten: set[int] = set()
        self.loading = asyncio.Event()
        self.training = OwnTraining(
            OwnTrainingParts(
                trainer=trainer,
                tensors=CONTRACT.model.tensors,
                blobs=Blobs(folder / "blobs"),
                kept_bodies=KeptBodies(),
                journal=Journal(events=self.watch, contradictions=folder / "contradictions"),
                load_model=self._load,
                turn=asyncio.Lock(),
            )
        )

    async def _load(self, model: bytes, height: int) -> NDArray[np.int32]:
        del model
        if height in self.forgotten:
            raise BodyForgottenError
        return OUTCOME.delta

    async def next(self) -> int:
        trained = await asyncio.wait_for(self.fed.get(), timeout=5)
        assert isinstance(trained, fx.UpdateTrained)
        return trained.height


@asynccontextmanager
async def running(folder: Path, trainer: Script) -> AsyncIterator[Run]:
    run = Run(folder, trainer)
    task = asyncio.create_task(run.training.run(run.fed.put_nowait))
    try:
        yield run
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.0)


@pytest.mark.parametrize("error", [DataError("no rows"), SettingsError("no file")])
async def test_node_goes_on_whatever_error_the_training_process_names(
    tmp_path: Path, error: Exception
) -> None:
    async with running(tmp_path, Script(error)) as run:
        run.training.ask(work(1))

        assert await run.next() == 1


async def test_training_that_fails_is_tried_again_until_it_succeeds(tmp_path: Path) -> None:
    """An engine asks once per model: giving up would leave the member out for ever."""
    trainer = Script(*(TrainerError("killed") for _ in range(10)))
    async with running(tmp_path, trainer) as run:
        run.training.ask(work(1))

        assert await run.next() == 1

    assert trainer.trained == [1] * 11
    assert trainer.n_starts == 10


async def test_a_trainer_that_cannot_start_is_an_error_for_people_and_stops_nobody(
    tmp_path: Path,
) -> None:
    trainer = Script(TrainerError("killed"), starts=(DataError("rows.csv is gone"),))
    async with running(tmp_path, trainer) as run:
        run.training.ask(work(1))

        assert await run.next() == 1

    assert ("error", {"text": "height=1: cannot train: rows.csv is gone"}) in run.watch.events


async def test_slow_training_is_brought_to_its_end_and_then_the_newest_model_is_next(
    tmp_path: Path,
) -> None:
    """Rule P11: a late header is a sign of life; requests do not pile up in the trainer."""
    slow = asyncio.Event()
    trainer = Script(slow)
    async with running(tmp_path, trainer) as run:
        run.training.ask(work(1))
        await trainer.began.wait()
        for height in (2, 3, 4):
            run.training.ask(work(height))
        slow.set()

        assert [await run.next(), await run.next()] == [1, 4]

    assert trainer.trained == [1, 4]


async def test_training_that_fails_gives_way_to_a_newer_model(tmp_path: Path) -> None:
    trainer = Script(TrainerError("diverged"))
    async with running(tmp_path, trainer) as run:
        run.training.ask(work(1))
        await trainer.began.wait()
        run.training.ask(work(2))

        assert await run.next() == 2


async def test_a_model_that_is_forgotten_while_it_is_fetched_is_not_trained_on(
    tmp_path: Path,
) -> None:
    trainer = Script()
    async with running(tmp_path, trainer) as run:
        run.forgotten.add(1)
        run.training.ask(work(1))
        await asyncio.sleep(0)
        run.training.ask(work(2))

        assert await run.next() == 2

    assert trainer.trained == [2]
