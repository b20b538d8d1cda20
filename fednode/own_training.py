"""The own trainer: one model after the other, always the newest that the engine asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import token_bytes
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from consensus import effects as fx
from fednode.exchange import BodyForgottenError
from fednode.journal import Journal
from fednode.kept_bodies import KeptBodies
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.local_training import FitOutcome
from ledger.blobs import Blobs
from ledger.bodies import encode_update_body
from ledger.tensors import TensorTable

logger = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""Longest pause between two attempts to train; the first is `RETRY_FIRST_S`, then it doubles."""


class Trainer(Protocol):
    """The member's trainer, in its own process or, in tests, in this one."""

    async def start(self) -> None:
        """Load the member's rows, also after a failure.

        Raises:
            DataError: If the rows cannot be learned from; also `SettingsError` and `TrainerError`.
        """

    async def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        """Return the quantized update of the model's parameters, shape (p,).

        Raises:
            TrainerError: If training failed; nothing is sent then. Also `DataError` and
                `SettingsError`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTrainingParts:
    """What training works with.

    Attributes:
        trainer: Does it.
        tensors: The contract's tensor table.
        blobs: Where updates become durable.
        kept_bodies: Where they stay in memory until their height is over.
        journal: Told when a training round begins.
        load_model: Returns a model's integers, shape (p,), by id and height, once it is here.
        turn: Held while the training process is busy for this node; who came first goes first.
    """

    trainer: Trainer
    tensors: TensorTable
    blobs: Blobs
    kept_bodies: KeptBodies
    journal: Journal
    load_model: Callable[[bytes, int], Awaitable[NDArray[np.int32]]]
    turn: asyncio.Lock


class OwnTraining:
    """Trains in a task that runs as long as there is something to train.

    A training round that takes longer than its height is brought to its end: its header is the
    sign of life by which the others wait for this member next time (rule P11).
    """

    def __init__(self, parts: OwnTrainingParts) -> None:
        self._parts = parts
        self._next: fx.Train | None = None
        self._came = asyncio.Event()

    def ask(self, work: fx.Train) -> None:
        """Train this next, instead of what was asked for and has not begun."""
        self._next = work
        self._came.set()

    async def run(self, feed: Callable[[fx.Input], None]) -> None:
        """Train what is asked for and report it, until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            work, self._next = self._next, None
            if work is None:
                continue
            try:
                trained = await self._train(work)
            except BodyForgottenError:
                continue  # another model is the current one by now
            if trained is not None:
                feed(trained)

    async def _train(self, work: fx.Train) -> fx.UpdateTrained | None:
        parts = self._parts
        base = await parts.load_model(work.base_model_id, work.height)
        parts.journal.training(work.height, work.training_round)
        delta = await self._fit(work, base)
        if delta is None:
            return None
        body = await asyncio.to_thread(self._encode, delta)
        update_id = await asyncio.to_thread(parts.blobs.put, body)
        parts.kept_bodies.add(work.height, update_id, body)
        return fx.UpdateTrained(
            height=work.height,
            training_round=work.training_round,
            base_model_id=work.base_model_id,
            update_id=update_id,
            n_elements=delta.size,
        )

    async def _fit(self, work: fx.Train, base: NDArray[np.int32]) -> NDArray[np.int32] | None:
        """Return the update's integers, None if it failed and another model is asked for now."""
        trainer = self._parts.trainer
        pause_s = RETRY_FIRST_S
        while True:
            try:
                async with self._parts.turn:
                    return (await trainer.fit(work.training_round, base)).delta
            except (DataError, SettingsError, TrainerError) as error:
                logger.warning("height=%d: training failed: %s", work.height, error)
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)
            if self._next is not None:
                return None
            try:
                async with self._parts.turn:
                    await trainer.start()
            except (DataError, SettingsError, TrainerError) as error:
                # A member that cannot train goes on voting.
                text = f"height={work.height}: cannot train: {error}"
                self._parts.journal.note(fx.Notice(is_error=True, text=text))

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._came.wait(), seconds)
        except TimeoutError:
            return

    def _encode(self, delta: NDArray[np.int32]) -> bytes:
        values = delta.astype("<i4", copy=False).tobytes()
        return encode_update_body(token_bytes(32), self._parts.tensors, values)
