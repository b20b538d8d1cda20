"""Everything of a node that takes time: training, building, checking, fetching bodies and models.

Each chore runs as a task next to the event loop's work and ends with an input for the engine. What
no open height needs any more is cancelled when a block is committed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from consensus import effects as fx
from consensus.judging import Evaluate
from fednode.blockwork import (
    Weighted,
    check_results,
    compute_results,
)
from fednode.exchange import BodyExchange, BodyForgottenError
from fednode.fetching import Fetching
from fednode.journal import Journal
from fednode.keeping import BodyKeeper
from fednode.kept_bodies import KeptBodies
from fednode.own_evaluation import OwnEvaluation, OwnEvaluationParts, SiteProcess
from fednode.own_training import OwnTraining, OwnTrainingParts
from fednode.roster import Roster
from fednode.sending import BodySender
from fednode.spawning import Spawn, cannot_spawn
from ledger.blobs import Blobs
from ledger.building import Draft, build_block, expected_weights, unchanged_results
from ledger.certificates import signers
from ledger.errors import BlockError, DecodeError
from ledger.keys import Signed, Verified
from ledger.membership import Standing
from ledger.records import (
    Block,
    BlockKind,
    Evidence,
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
HEIGHT_MAX = 2**64 - 1
"""No work is for a height after this one."""
HEADERS_PER_TRAINER_MAX = 2
"""Bodies fetched of one trainer for one height: one, and one more if it signs twice."""

Feed: TypeAlias = Callable[[fx.Input], None]
Asked: TypeAlias = fx.Train | Evaluate | fx.BuildBlock | fx.CheckBlock
Work: TypeAlias = Callable[[], Coroutine[object, object, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """What the chores of one member work with."""

    member: int
    roster: Roster
    blobs: Blobs
    exchange: BodyExchange
    sender: BodySender
    trainer: SiteProcess | None
    keeper: BodyKeeper
    journal: Journal


class Chores:
    """Runs the node's slow work and reports back by `feed`."""

    def __init__(self, household: Household) -> None:
        self._home = household
        self._feed: Feed = _not_started
        self._spawn: Spawn = cannot_spawn
        self._height = 0
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._model_task: asyncio.Task[None] | None = None
        self._holding: dict[tuple[int, int], set[bytes]] = {}
        self._pushed: set[bytes] = set()
        self._results: dict[tuple[int, tuple[bytes, ...]], asyncio.Task[Results]] = {}
        self._kept_bodies = KeptBodies()
        self._fetching = Fetching(
            member=household.member,
            roster=household.roster,
            blobs=household.blobs,
            exchange=household.exchange,
        )
        self._turn = asyncio.Lock()
        self._training = self._make_training(household.trainer)
        self._evaluation = self._make_evaluation(household.trainer)

    def start(self, feed: Feed, spawn: Spawn, state: State) -> None:
        """Connect to the node that runs now, and fetch the current model if it is not here."""
        self._feed, self._spawn, self._height = feed, spawn, state.height
        self._fetch_models(state, ())
        if self._evaluation is not None:
            _ = spawn(self._evaluation.run(feed), "evaluate")
        if self._training is not None:
            _ = spawn(self._training.run(feed), "train")

    def hold(self, update: Verified[UpdateHeader], state: State) -> None:
        """Fetch the body of an announced update; `UpdateHeld` follows when it is durable."""
        header = update.statement
        if not self._is_validator() or not 1 <= header.height - state.height <= HEIGHTS_AHEAD_MAX:
            return
        bodies = self._holding.setdefault((header.height, header.trainer), set())
        if header.update_id in bodies or len(bodies) >= HEADERS_PER_TRAINER_MAX:
            return
        bodies.add(header.update_id)
        self._begin(partial(self._hold, update), "hold update", header.height)

    def begin(self, asked: Asked, state: State) -> None:
        """Start what the engine asked for."""
        match asked:
            case fx.Train():
                if self._training is not None:
                    self._training.ask(asked)
            case Evaluate():
                if self._evaluation is not None:
                    self._evaluation.ask(asked)
            case fx.BuildBlock():
                self._begin(partial(self._build, asked, state), "build block", asked.height)
            case fx.CheckBlock() if self._is_gone(state):
                return  # it can read no body (rule P90), and decides without them (rule P13)
            case fx.CheckBlock(block=block):
                # Its block may be decided meanwhile, without bodies (rule P13). Found invalid then,
                # it stops the node (rule P28), until the block after it is decided.
                last_height = block.header.height + 1
                self._begin(partial(self._check, block, state), "check block", last_height)

    def push_once(self, update: UpdateHeader) -> None:
        """Push an own body the first time its header is published; then it is pulled.

        Headers of others are said again by those who hold their bodies (rule P35), and a header
        that comes too late is a sign of life without a body (rule P11): neither is pushed.
        """
        is_own = update.trainer == self._home.member
        if is_own:
            self._home.keeper.note(update.height, update.update_id)
        if is_own and update.height > self._height and update.update_id not in self._pushed:
            self._pushed = {update.update_id}
            _ = self._spawn(self._push(update), "push update")

    def on_commit(self, block: Block, certificate: QuorumCertificate, state: State) -> None:
        """Drop what the committed height wanted; make sure that its model is here."""
        height = self._height = block.header.height
        is_gone = self._is_gone(state)
        through = HEIGHT_MAX if is_gone else height
        for task in [task for task, last in self._tasks.items() if last <= through]:
            task.cancel()
        for key in [key for key in self._holding if key[0] <= through]:
            del self._holding[key]
        models = (state.model_id, state.best.model_id, *(each.model_id for each in state.judged))
        self._home.exchange.forget_through(through, keep=() if is_gone else models)
        self._results.clear()
        self._kept_bodies.drop_through(height)
        if self._model_task is not None:
            self._model_task.cancel()
        holders = signers(certificate, state.previous_validators)
        self._fetch_models(state, holders)
        self._home.keeper.prune(block, state)

    async def _push(self, update: UpdateHeader) -> None:
        body = update.update_id
        if await self._home.sender.push(body, self._kept_bodies.of((body,)).get(body)):
            self._home.journal.pushed(update.height, update.update_id)

    async def _hold(self, update: Verified[UpdateHeader]) -> None:
        home, header = self._home, update.statement
        try:
            body = await self._fetching.checked_update(header)
        except DecodeError as error:
            logger.warning(
                "height=%d sender=%d: refused an update: %s", header.height, header.trainer, error
            )
            return
        self._kept_bodies.add(header.height, header.update_id, body)
        home.keeper.note(header.height, header.update_id)
        self._feed(fx.UpdateHeld(update=update))

    async def _build(self, work: fx.BuildBlock, state: State) -> None:
        home = self._home
        try:
            results = await self._compute(
                state, work.haves, work.updates, work.evidence, kind=work.kind
            )
        except (BlockError, DecodeError) as error:
            # More than the budget lied about what they hold: the view goes to the next proposer.
            text = f"height={work.height} view={work.view}: cannot build a block: {error}"
            home.journal.note(fx.Notice(is_error=True, text=text))
            return
        draft = Draft(
            view=work.view,
            kind=work.kind,
            time_ms=work.time_ms,
            haves=work.haves,
            updates=work.updates,
            last_certificate=work.last_certificate,
            results=results,
            evidence=work.evidence,
            metrics=work.metrics,
            operations=work.operations,
            readies=work.readies,
        )
        block = build_block(home.roster.contract_at(state), state, draft)
        self._feed(fx.BlockBuilt(height=work.height, view=work.view, block=block))

    async def _check(self, block: Block, state: State) -> None:
        reason = ""
        try:
            expected = await self._compute(
                state, block.haves, block.updates, block.evidence, kind=block.header.kind
            )
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
        evidence: Sequence[Evidence],
        *,
        kind: BlockKind,
    ) -> Results:
        """The results of rule P13; views of one height that include the same share the work."""
        home = self._home
        if kind is BlockKind.EMPTY:
            return unchanged_results(state)
        contract = home.roster.contract_at(state)
        counted = expected_weights(contract, state, haves, updates, evidence)
        wanted = [self._fetching.wanted_model(state.model_id, state.height + 1, ())]
        for update, _ in counted:
            digest = header_digest(update.statement, state.chain_id)
            holders = [
                have.signer
                for have in haves
                if any(entry.header_digest == digest for entry in have.statement.entries)
            ]
            wanted.append(self._fetching.wanted_update(update.statement, holders, is_pushed=False))
        results = await self._fetching.with_bodies(wanted, partial(self._aggregate, state, counted))
        home.exchange.note_stored(results.model_id)
        home.keeper.note(state.height + 1, results.model_id)
        return results

    async def _aggregate(self, state: State, counted: Weighted) -> Results:
        # By header: two trainers may name the same body.
        digests = [header_digest(each.statement, state.chain_id) for each, _ in counted]
        key = (state.height, tuple(digests))
        task = self._results.get(key)
        if task is None or (task.done() and task.exception() is not None):
            home = self._home
            checked = self._kept_bodies.of(tuple(each.statement.update_id for each, _ in counted))
            contract = home.roster.contract_at(state)
            work = asyncio.to_thread(compute_results, contract, state, counted, home.blobs, checked)
            task = asyncio.create_task(work, name="aggregate")
            # Whoever waits for it takes its error; when nobody waits any more, nobody needs it.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._results[key] = task
        return await asyncio.shield(task)

    def _fetch_models(self, state: State, holders: Sequence[int]) -> None:
        """Fetch what rule P80 wants; who is gone gets no keys for bodies any more (rule P90)."""
        if not self._is_gone(state):
            self._model_task = self._spawn(self._settle_models(state, holders), "fetch models")

    def _is_gone(self, state: State) -> bool:
        """Whether the own member left, was evicted or never admitted in time (rule P81)."""
        members, own = state.membership.members, self._home.member
        return own < len(members) and members[own].standing in (Standing.GONE, Standing.LAPSED)

    async def _settle_models(self, state: State, holders: Sequence[int]) -> None:
        """Rule P80: the models and optimizer states of current and best are here."""
        for model_id in dict.fromkeys((state.model_id, state.best.model_id)):
            wanted = self._fetching.wanted_model(model_id, state.height + 1, holders)
            await self._home.exchange.hold(wanted)
        self._home.journal.model_held(state.height, state.model_id)

    def _is_validator(self) -> bool:
        members = self._home.roster.contract.members
        return self._home.member < len(members) and members[self._home.member].is_validator

    def _make_training(self, trainer: SiteProcess | None) -> OwnTraining | None:
        home = self._home
        if trainer is None:
            return None
        return OwnTraining(
            OwnTrainingParts(
                trainer=trainer,
                tensors=home.roster.contract.model.tensors,
                blobs=home.blobs,
                kept_bodies=self._kept_bodies,
                journal=home.journal,
                load_model=self._fetching.load_model,
                turn=self._turn,
            )
        )

    def _make_evaluation(self, trainer: SiteProcess | None) -> OwnEvaluation | None:
        home = self._home
        if trainer is None:
            return None
        return OwnEvaluation(
            OwnEvaluationParts(
                evaluator=trainer,
                terms=home.roster.contract.feedback,
                load_model=self._fetching.load_model,
                turn=self._turn,
                note=home.journal.note,
            )
        )

    def _begin(self, work: Work, name: str, last_height: int) -> None:
        task = self._spawn(_unless_forgotten(work), name)
        self._tasks[task] = last_height
        task.add_done_callback(lambda done: self._tasks.pop(done, None))


def _not_started(happened: fx.Input) -> None:
    raise RuntimeError(f"chores are not started: {happened}")


async def _unless_forgotten(work: Work) -> None:
    with suppress(BodyForgottenError):
        await work()
