"""A whole network in this process, for notebooks: real nodes, ledgers and votes, no broker.

The nodes are those of `fednode run`, put together by the same code. A hub in memory takes the place
of the broker, and learners are objects instead of files: what a contract binds besides, the code of
the learner, it cannot bind here.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fixedpoint import flatten, unflatten
from fednode.assembly import BLOBS_NAME, Storage, Surroundings, build_node, make_journal
from fednode.blockwork import load_model
from fednode.clock import SystemClock
from fednode.events import Plain
from fednode.founding.consent import sign_contract
from fednode.founding.contracts import ContractOptions, ContractParts, contract_from
from fednode.founding.initial_model import settings_of
from fednode.founding.keys import MemberKey
from fednode.founding.membership import Membership
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.learner import EvaluationContext, Learner, Metrics, RowSet
from fednode.learning.local_training import FitOutcome, LocalTraining
from fednode.learning.models import tensor_table
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.own_learner import OwnLearner
from fednode.testnet.history import HeightResult, History
from fednode.testnet.plan import LOCAL_TIMEOUTS
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.envelope import NetworkKey
from ledger.blobs import Blobs
from ledger.bodies import body_id, encode_model_body
from ledger.genesis import NO_FEEDBACK, DataTerms, Genesis, Member, ModelTerms, Role
from ledger.records import Block
from ledger.state import State, apply, initial_state
from ledger.store import Ledger

TIMEOUTS: Final = replace(
    LOCAL_TIMEOUTS, collect_ms=3_600_000, collect_max_ms=3_600_000, have_grace_ms=1
)
"""A height waits for every learner, however slow; one that fails ends the run at once."""
LOOK_S: Final = 0.01
"""How often the run looks whether it is over."""
MODEL: Final = "memory:learners"
"""What the contract calls the model: learners that are objects in memory."""


def run(
    contract: ContractOptions,
    learners: Sequence[Learner],
    seed: int = 0,
    *,
    rows: RowSet = "test",
) -> History:
    """Run a network of one member per learner until the last training round.

    Works in notebooks, whose own event loop is left alone. The same arguments give the same models.

    Args:
        contract: Terms; model, waits and seed are not taken from it.
        learners: Each with its member's rows; the first one's initial parameters are the start. The
            figure `samples` of a learner on its training rows, if it gives one, is its weight.
        seed: Of initial parameters, training and keys.
        rows: On which each member judges each model; members without such rows do not.

    Raises:
        ContractError: If the terms cannot hold.
        SettingsError: If there is no learner.
        TrainerError: If a learner fails; the text says where.
    """
    if not learners:
        raise SettingsError("expected a learner for each member, got none")
    guarded = tuple(
        OwnLearner(learner=learner, name=f"of member {number} ({type(learner).__name__})")
        for number, learner in enumerate(learners)
    )
    options = replace(contract, model=MODEL, seed=seed, timeouts=TIMEOUTS)
    with TemporaryDirectory(prefix="fednode-") as folder, ThreadPoolExecutor(1) as thread:
        network = _found(Path(folder), options, guarded)
        thread.submit(asyncio.run, network.run()).result()
        return network.history(rows)


@dataclass(slots=True, kw_only=True)
class _Watch:
    """Knows how far a node is."""

    heights: dict[int, int] = field(default_factory=dict)
    """Training rounds completed, by height."""
    held: int = 0

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        height, training_round = fields.get("height"), fields.get("training_round")
        if kind == "committed" and isinstance(height, int) and isinstance(training_round, int):
            self.heights[height] = training_round
        elif kind == "model" and isinstance(height, int):
            self.held = height

    def has_reached(self, training_round: int) -> bool:
        """Return whether block and model of a training round are here."""
        return any(
            height <= self.held and done >= training_round for height, done in self.heights.items()
        )


@dataclass(slots=True)
class _Trainer:
    """A member's training on a thread that all members share: learners are not made for threads."""

    training: LocalTraining
    executor: Executor
    failure: Exception | None = None

    async def start(self) -> None:
        """Nothing to start: the learner is here."""

    async def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        """Return the update; a failure is kept for `run` to raise."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self.executor, self.training.fit, training_round, model
            )
        except TrainerError as error:
            self.failure = error
            raise

    async def evaluate(self, model: NDArray[np.int32], rows: RowSet) -> Metrics:
        """Return the figures of a model."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, self.training.evaluate, model, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One member while the network runs."""

    membership: Membership
    folder: Path
    initial_model: bytes
    transport: MemoryTransport
    trainer: _Trainer
    watch: _Watch = field(default_factory=_Watch)

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Run the member's node until `is_over` says so."""
        with Storage(self.folder, self.membership.genesis, self.initial_model) as storage:
            around = Surroundings(
                transport=self.transport,
                trainer=self.trainer,
                clock=SystemClock(),
                journal=make_journal(self.folder, self.watch),
                keep_heights=0,
            )
            node = build_node(self.membership, storage, around)
            running = asyncio.create_task(node.run())
            try:
                while not is_over() and not running.done():
                    await asyncio.wait({running}, timeout=LOOK_S)
            finally:
                node.stop()
                await running


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """A founded network; `folder` has a folder for each member."""

    folder: Path
    genesis: Genesis
    keys: tuple[MemberKey, ...]
    initial_model: bytes
    learners: tuple[OwnLearner, ...]

    async def run(self) -> None:
        """Run all nodes until each holds the last model.

        Raises:
            TrainerError: If a learner failed.
        """
        hub, rounds = MemoryHub(), self.genesis.contract.training_rounds
        with ThreadPoolExecutor(1) as executor:
            places = [self._place(number, hub, executor) for number in range(len(self.learners))]

            def is_over() -> bool:
                has_failed = any(place.trainer.failure is not None for place in places)
                return has_failed or all(place.watch.has_reached(rounds) for place in places)

            await asyncio.gather(*(place.run(is_over) for place in places))
        for place in places:
            if place.trainer.failure is not None:
                raise place.trainer.failure

    def history(self, rows: RowSet) -> History:
        """Return what the first member holds."""
        folder, contract = self.folder / "0", self.genesis.contract
        with Ledger.open(folder, genesis=self.genesis, read_only=True) as ledger:
            blocks = tuple(ledger.blocks(1, ledger.head))
            certificate = ledger.certificate_at(ledger.head)
        heights, state = [], initial_state(contract)
        for block in blocks:
            state = apply(contract, state, block)
            heights.append(self._result(block, state, rows))
        return History(
            genesis=self.genesis, heights=tuple(heights), blocks=blocks, certificate=certificate
        )

    def _result(self, block: Block, state: State, rows: RowSet) -> HeightResult:
        contract, header = self.genesis.contract, block.header
        counted = header.results.contributions
        values = load_model(contract, Blobs(self.folder / "0" / BLOBS_NAME), state.model_id)
        model = unflatten(values, contract.model.tensors, np.float64)
        metrics: dict[int, Metrics] = {}
        for number, learner in enumerate(self.learners):
            with suppress(DataError):  # this member has no such rows
                metrics[number] = learner.evaluate(model, EvaluationContext(rows=rows))
        return HeightResult(
            height=header.height,
            kind=header.kind.name,
            training_round=header.training_round,
            proposer=header.proposer,
            included=tuple(each.trainer for each in counted),
            flagged=tuple(each.trainer for each in counted if each.flagged),
            powers={each.member: each.power for each in state.validators.validators},
            model_id=state.model_id.hex(),
            model=model,
            metrics=metrics,
        )

    def _place(self, number: int, hub: MemoryHub, executor: Executor) -> _Place:
        contract, key = self.genesis.contract, self.keys[number]
        training = LocalTraining(
            learner=self.learners[number],
            settings=settings_of(contract),
            tensors=contract.model.tensors,
            member=number,
            momenta=MomentumMemory(),
        )
        # Nobody else is on this hub, so nothing has to be kept from anybody.
        shared = NetworkKey(key=sha256(self.keys[0].public_key).digest())
        return _Place(
            membership=Membership(
                genesis=self.genesis, member=number, key=key.signing, network_key=shared
            ),
            folder=self.folder / str(number),
            initial_model=self.initial_model,
            transport=MemoryTransport(hub, name=str(number)),
            trainer=_Trainer(training, executor),
        )


def _found(folder: Path, options: ContractOptions, learners: tuple[OwnLearner, ...]) -> _Network:
    keys = tuple(
        MemberKey(sha256(f"fednode/testnet/{options.seed}/{number}".encode()).digest())
        for number in range(len(learners))
    )
    parameters = learners[0].initial_parameters(np.random.default_rng(options.seed))
    tensors = tensor_table(parameters)
    values = flatten(parameters, tensors)
    body = encode_model_body(tensors, values.astype("<i4", copy=False).tobytes())
    start = unflatten(values, tensors, np.float64)
    parts = ContractParts(
        members=tuple(
            Member(
                name=f"member {number}",
                public_key=key.public_key,
                roles=int(Role.TRAINER | Role.VALIDATOR),
                samples=_samples(learner, start),
            )
            for number, (key, learner) in enumerate(zip(keys, learners, strict=True))
        ),
        model=ModelTerms(
            architecture=MODEL,
            tensors=tensors,
            initial_seed=options.seed,
            initial_model_id=body_id(body),
        ),
        data=DataTerms(label="", positive="", features=()),
        feedback=NO_FEEDBACK,
        learner_hash=sha256(MODEL.encode()).digest(),
    )
    genesis = Genesis(contract=contract_from(parts, options), signatures=())
    for key in keys:
        genesis = sign_contract(genesis, key.signing)
    return _Network(
        folder=folder, genesis=genesis, keys=keys, initial_model=body, learners=learners
    )


def _samples(learner: OwnLearner, start: Mapping[str, NDArray[np.float64]]) -> int:
    try:
        metrics = learner.evaluate(dict(start), EvaluationContext(rows="training"))
    except (DataError, TrainerError):  # it judges on other rows only
        return 1
    return max(1, int(metrics.get("samples", 1)))
