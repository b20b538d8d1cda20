"""Everything of a node that takes time: training, building, checking, fetching bodies and models.

Each chore runs as a task next to the event loop's work and ends with an input for the engine. What
no open height needs any more is cancelled when a block is committed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from secrets import token_bytes
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from consensus import effects as fx
from fednode.blockwork import (
    check_results,
    check_update_body,
    compute_results,
    load_model,
)
from fednode.exchange import BodyExchange, Wanted
from fednode.journal import Journal
from fednode.kept_bodies import KeptBodies
from fednode.learning.errors import TrainerError
from fednode.learning.local_training import FitOutcome
from ledger.blobs import Blobs
from ledger.bodies import body_bytes, encode_update_body
from ledger.building import Draft, build_block, expected_weights, unchanged_results
from ledger.certificates import signers
from ledger.errors import BlockError, DecodeError
from ledger.genesis import Contract
from ledger.keys import Signed, Verified
from ledger.records import (
    Block,
    BlockKind,
    HaveList,
    QuorumCertificate,
    Results,
    UpdateHeader,
    block_id,
    header_digest,
)
from ledger.state import State

logger = logging.getLogger(__name__)

HEIGHTS_AHEAD_MAX = 2
"""Bodies are fetched for the open height and the one after it."""
HEADERS_PER_TRAINER_MAX = 2
"""Bodies fetched of one trainer for one height: one, and one more if it signs twice."""
FIT_ATTEMPTS_MAX = 3

Feed: TypeAlias = Callable[[fx.Input], None]
Spawn: TypeAlias = Callable[[Coroutine[object, object, None], str], "asyncio.Task[None]"]
Work: TypeAlias = fx.Train | fx.BuildBlock | fx.CheckBlock


class Trainer(Protocol):
    """The member's trainer, in its own process or, in tests, in this one."""

    async def start(self) -> None:
        """Load the member's rows, also after a failure."""

    async def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        """Return the quantized update of the model's parameters, shape (p,).

        Raises:
            TrainerError: If training failed; nothing is sent then.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """What the chores of one member work with."""

    member: int
    contract: Contract
    chain_id: bytes
    blobs: Blobs
    exchange: BodyExchange
    trainer: Trainer | None
    keep_heights: int
    journal: Journal


class Chores:
    """Runs the node's slow work and reports back by `feed`."""

    def __init__(self, household: Household) -> None:
        self._home = household
        self._is_validator = household.contract.members[household.member].is_validator
        self._feed: Feed = _not_started
        self._spawn: Spawn = _cannot_spawn
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._model_task: asyncio.Task[None] | None = None
        self._holding: dict[tuple[int, int], set[bytes]] = {}
        self._pushed: set[bytes] = set()
        self._results: dict[tuple[bytes, ...], asyncio.Task[Results]] = {}
        self._kept_bodies = KeptBodies()
        self._kept: deque[tuple[int, tuple[bytes, ...]]] = deque()

    def start(self, feed: Feed, spawn: Spawn, state: State) -> None:
        """Connect to the node that runs now, and fetch the current model if it is not here."""
        self._feed, self._spawn = feed, spawn
        self._model_task = spawn(self._settle_models(state, ()), "fetch models")

    def hold(self, update: Verified[UpdateHeader], state: State) -> None:
        """Fetch the body of an announced update; `UpdateHeld` follows when it is durable."""
        header = update.statement
        if not self._is_validator or not 1 <= header.height - state.height <= HEIGHTS_AHEAD_MAX:
            return
        bodies = self._holding.setdefault((header.height, header.trainer), set())
        if header.update_id in bodies or len(bodies) >= HEADERS_PER_TRAINER_MAX:
            return
        bodies.add(header.update_id)
        self._begin(self._hold(update), "hold update", header.height)

    def begin(self, work: Work, state: State) -> None:
        """Start what the engine asked for."""
        match work:
            case fx.Train():
                self._begin(self._train(work), "train", work.height)
            case fx.BuildBlock():
                self._begin(self._build(work, state), "build block", work.height)
            case fx.CheckBlock(block=block):
                self._begin(self._check(block, state), "check block", block.header.height)

    def push_once(self, update_id: bytes) -> None:
        """Push an own body the first time its header is published; then it is pulled."""
        if update_id not in self._pushed:
            self._pushed.add(update_id)
            _ = self._spawn(self._home.exchange.push(update_id), "push update")

    def on_commit(self, block: Block, certificate: QuorumCertificate, state: State) -> None:
        """Drop what the committed height wanted; make sure that its model is here."""
        height = block.header.height
        for task in [task for task, at in self._tasks.items() if at <= height]:
            task.cancel()
        for key in [key for key in self._holding if key[0] <= height]:
            for body in self._holding.pop(key):
                self._home.exchange.forget(body)
        self._results.clear()
        self._kept_bodies.drop_through(height)
        self._pushed.clear()
        if self._model_task is not None:
            self._model_task.cancel()
        holders = signers(certificate, state.previous_validators)
        self._model_task = self._spawn(self._settle_models(state, holders), "fetch models")
        self._prune(block, state)

    async def _hold(self, update: Verified[UpdateHeader]) -> None:
        home, header = self._home, update.statement
        await home.exchange.hold(self._wanted_update(header, (), is_pushed=True))
        body = await asyncio.to_thread(home.blobs.get, header.update_id)
        try:
            await asyncio.to_thread(check_update_body, home.contract, header, body)
        except DecodeError as error:
            logger.warning(
                "height=%d sender=%d: refused an update: %s", header.height, header.trainer, error
            )
            return
        self._kept_bodies.add(header.height, header.update_id, body)
        self._feed(fx.UpdateHeld(update=update))

    async def _train(self, work: fx.Train) -> None:
        home = self._home
        if home.trainer is None:
            return
        await self._hold_model(work.base_model_id, work.height, ())
        base = await asyncio.to_thread(load_model, home.contract, home.blobs, work.base_model_id)
        home.journal.training(work.height, work.training_round)
        delta = await self._fit(work, base)
        if delta is None:
            return
        values = delta.astype("<i4", copy=False).tobytes()
        body = encode_update_body(token_bytes(32), home.contract.model.tensors, values)
        update_id = await asyncio.to_thread(home.blobs.put, body)
        self._kept_bodies.add(work.height, update_id, body)
        self._feed(
            fx.UpdateTrained(
                height=work.height,
                training_round=work.training_round,
                base_model_id=work.base_model_id,
                update_id=update_id,
                n_elements=delta.size,
            )
        )

    async def _fit(self, work: fx.Train, base: NDArray[np.int32]) -> NDArray[np.int32] | None:
        trainer = self._home.trainer
        assert trainer is not None
        for attempt in range(1, FIT_ATTEMPTS_MAX + 1):
            try:
                outcome = await trainer.fit(work.training_round, base)
            except TrainerError as error:
                text = "height=%d: training failed (attempt %d of %d): %s"
                logger.warning(text, work.height, attempt, FIT_ATTEMPTS_MAX, error)
                await trainer.start()
            else:
                return outcome.delta
        return None

    async def _build(self, work: fx.BuildBlock, state: State) -> None:
        home = self._home
        results = await self._compute(state, work.haves, work.updates, work.kind)
        draft = Draft(
            view=work.view,
            kind=work.kind,
            time_ms=work.time_ms,
            haves=work.haves,
            updates=work.updates,
            last_certificate=work.last_certificate,
            results=results,
        )
        block = build_block(home.contract, state, draft)
        self._feed(fx.BlockBuilt(height=work.height, view=work.view, block=block))

    async def _check(self, block: Block, state: State) -> None:
        reason = ""
        try:
            expected = await self._compute(state, block.haves, block.updates, block.header.kind)
            check_results(expected, block.header.results)
        except (BlockError, DecodeError) as error:
            reason = str(error)
        self._feed(
            fx.BlockChecked(
                height=block.header.height,
                block_id=block_id(block.header),
                is_valid=not reason,
                reason=reason,
            )
        )

    async def _compute(
        self,
        state: State,
        haves: Sequence[Signed[HaveList]],
        updates: Sequence[Signed[UpdateHeader]],
        kind: BlockKind,
    ) -> Results:
        """The results of rule P13; views of one height that include the same share the work."""
        home = self._home
        if kind is BlockKind.EMPTY:
            return unchanged_results(state)
        counted = expected_weights(home.contract, state, haves, updates)
        for update, _ in counted:
            header = update.statement
            digest = header_digest(header, home.chain_id)
            holders = tuple(
                have.signer
                for have in haves
                if any(entry.header_digest == digest for entry in have.statement.entries)
            )
            await home.exchange.hold(self._wanted_update(header, holders, is_pushed=False))
        await self._hold_model(state.model_id, state.height, ())
        key = tuple(update.statement.update_id for update, _ in counted)
        task = self._results.get(key)
        if task is None:
            checked = self._kept_bodies.of(key)
            work = asyncio.to_thread(
                compute_results, home.contract, state, counted, home.blobs, checked
            )
            task = asyncio.create_task(work, name="aggregate")
            self._results[key] = task
        return await asyncio.shield(task)

    async def _settle_models(self, state: State, holders: Sequence[int]) -> None:
        """Rule P80: the models and optimizer states of current and best are here."""
        for model_id in dict.fromkeys((state.model_id, state.best_model_id)):
            await self._hold_model(model_id, state.height, holders)
        self._home.journal.model_held(state.height, state.model_id)

    async def _hold_model(self, model_id: bytes, height: int, holders: Sequence[int]) -> None:
        home = self._home
        others = range(len(home.contract.members))
        wanted = Wanted(
            body_id=model_id,
            origin=home.member,
            total_bytes=body_bytes(home.contract.model.tensors, is_update=False),
            height=height,
            responders=tuple(dict.fromkeys((*holders, *others))),
            is_pushed=False,
        )
        await home.exchange.hold(wanted)

    def _wanted_update(
        self, header: UpdateHeader, holders: Sequence[int], *, is_pushed: bool
    ) -> Wanted:
        return Wanted(
            body_id=header.update_id,
            origin=header.trainer,
            total_bytes=body_bytes(self._home.contract.model.tensors, is_update=True),
            height=header.height,
            responders=tuple(dict.fromkeys((header.trainer, *holders))),
            is_pushed=is_pushed,
        )

    def _prune(self, block: Block, state: State) -> None:
        """Rule P53: bodies go by policy, never the current and best model."""
        if not self._home.keep_heights:
            return
        ids = [update.statement.update_id for update in block.updates]
        self._kept.append((block.header.height, (*ids, block.header.results.model_id)))
        needed = {state.model_id, state.best_model_id}
        for _, kept in list(self._kept)[-self._home.keep_heights :]:
            needed.update(kept)
        while self._kept and self._kept[0][0] <= block.header.height - self._home.keep_heights:
            for body in self._kept.popleft()[1]:
                if body not in needed:
                    self._home.blobs.discard(body)

    def _begin(self, work: Coroutine[object, object, None], name: str, height: int) -> None:
        task = self._spawn(work, name)
        self._tasks[task] = height
        task.add_done_callback(lambda done: self._tasks.pop(done, None))


def _not_started(happened: fx.Input) -> None:
    raise RuntimeError(f"chores are not started: {happened}")


def _cannot_spawn(work: Coroutine[object, object, None], name: str) -> "asyncio.Task[None]":
    work.close()
    raise RuntimeError(f"chores are not started: {name}")
