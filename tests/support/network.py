"""A whole network in one process: real engines, ledgers and training, a hub instead of a broker."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.assembly import Storage, Surroundings, build_node, make_journal
from fednode.attacks import parse_attack
from fednode.clock import SystemClock
from fednode.config import INITIAL_MODEL_NAME
from fednode.events import Plain
from fednode.founding.cards import MemberCard
from fednode.founding.consent import sign_contract
from fednode.founding.contracts import ContractOptions, make_contract
from fednode.founding.initial_model import (
    Earlier,
    founders_model_file,
    initial_model_body,
    settings_of,
)
from fednode.founding.keys import MemberKey
from fednode.founding.membership import Membership
from fednode.learning.data_spec import DataSpec
from fednode.learning.dataset import Dataset
from fednode.learning.learner import Metrics, RowSet
from fednode.learning.learner_file import OwnCode
from fednode.learning.local_training import FitOutcome, LocalTraining
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.registry import build_learner
from fednode.learning.site_data import Site, load_sites, site_datasets
from fednode.learning.statistics import site_statistics
from fednode.node import Node
from fednode.transport.base import Transport
from fednode.wire.envelope import NetworkKey
from ledger.genesis import Genesis, Timeouts
from ledger.metrics import METRIC_SCALE
from ledger.store import Ledger

NETWORK_KEY = NetworkKey(key=sha256(b"network key of a test").digest())
TEST_TIMEOUTS = Timeouts(
    collect_ms=3_000,
    collect_max_ms=10_000,
    have_grace_ms=20,
    propose_ms=2_000,
    prepare_ms=500,
    commit_ms=500,
    view_max_ms=10_000,
    rebroadcast_ms=500,
    clock_window_ms=10_000,
)


@dataclass(slots=True)
class HeightWatch:
    """Collects events; knows the height of which a node holds block and model."""

    events: list[tuple[str, Mapping[str, Plain]]] = field(default_factory=list)
    height: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        self.events.append((kind, fields))
        if kind == "model":
            height = fields["height"]
            assert isinstance(height, int)
            self.height = height
            self._came.set()

    async def reach(self, height: int) -> None:
        while self.height < height:
            self._came.clear()
            await self._came.wait()


class InProcessTrainer:
    """The code of the training process, on a thread of this one."""

    def __init__(self, training: LocalTraining) -> None:
        self._training = training

    async def start(self) -> None:
        return None

    async def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        return await asyncio.to_thread(self._training.fit, training_round, model)

    async def evaluate(self, model: NDArray[np.int32], rows: RowSet) -> Metrics:
        return await asyncio.to_thread(self._training.evaluate, model, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One member of a test network and where it keeps its things."""

    membership: Membership
    folder: Path
    training: LocalTraining
    watch: HeightWatch

    def storage(self) -> Storage:
        genesis, file = self.membership.genesis, self.folder / INITIAL_MODEL_NAME
        return Storage(self.folder, genesis, initial_model_body(genesis.contract, file))

    def node(self, storage: Storage, transport: Transport) -> Node:
        around = Surroundings(
            transport=transport,
            trainer=InProcessTrainer(self.training),
            clock=SystemClock(),
            journal=make_journal(self.folder, self.watch),
            keep_heights=0,
        )
        return build_node(self.membership, storage, around)

    async def run_until(self, transport: Transport, all_done: Callable[[], bool]) -> None:
        """Run a node until `all_done` says so."""
        with self.storage() as storage:
            self.watch.height = 0
            node = self.node(storage, transport)
            running = asyncio.create_task(node.run())
            try:
                while not all_done() and not running.done():
                    await asyncio.wait({running}, timeout=0.02)
            finally:
                node.stop()
                await running

    def ledger(self) -> Ledger:
        return Ledger.open(self.folder, read_only=True)


def found_network(
    folder: Path,
    spec: DataSpec,
    options: ContractOptions,
    *,
    attacks: Mapping[int, str] | None = None,
    timeouts: Timeouts = TEST_TIMEOUTS,
) -> tuple[Peer, ...]:
    """Make the members of a network, one per site of `spec`, with their contract co-signed."""
    options = replace(options, timeouts=timeouts)
    return found_sites(folder, load_sites(spec), spec, options, attacks=attacks)


def found_sites(
    folder: Path,
    sites: Sequence[Site],
    spec: DataSpec,
    options: ContractOptions,
    *,
    attacks: Mapping[int, str] | None = None,
    earlier: Earlier | None = None,
) -> tuple[Peer, ...]:
    """Make the members of a network from rows; `spec` tells what their labels mean."""
    keys = [MemberKey(sha256(f"member {i}".encode()).digest()) for i in range(len(sites))]
    cards = [
        _card(site, key, i, spec) for i, (site, key) in enumerate(zip(sites, keys, strict=True))
    ]
    genesis = Genesis(contract=make_contract(cards, options, earlier), signatures=())
    for key in keys:
        genesis = sign_contract(genesis, key.signing)
    features = genesis.contract.data.features
    datasets = [
        site_datasets(site, features, allow_one_class=spec.allow_one_class) for site in sites
    ]
    peers = tuple(
        Peer(
            membership=Membership(
                genesis=genesis, member=number, key=key.signing, network_key=NETWORK_KEY
            ),
            folder=folder / f"member-{number}",
            training=_training(
                genesis, datasets[number], number, options.start.code, (attacks or {}).get(number)
            ),
            watch=HeightWatch(),
        )
        for number, key in enumerate(keys)
    )
    if earlier is None:
        _send_model(peers, founders_model_file(genesis.contract, options.start, None))
    return peers


def _send_model(peers: Sequence[Peer], file: bytes | None) -> None:
    if file is not None:
        for peer in peers:
            peer.folder.mkdir(parents=True)
            (peer.folder / INITIAL_MODEL_NAME).write_bytes(file)


async def run_network(
    peers: Sequence[Peer], height: int, transports: Sequence[Transport], *, timeout_s: float = 60
) -> None:
    """Run all peers until each has committed `height`."""

    def all_done() -> bool:
        return all(peer.watch.height >= height for peer in peers)

    runs = [
        peer.run_until(transport, all_done)
        for peer, transport in zip(peers, transports, strict=True)
    ]
    await asyncio.wait_for(asyncio.gather(*runs), timeout_s)


def _card(site: Site, key: MemberKey, number: int, spec: DataSpec) -> MemberCard:
    return MemberCard(
        name=f"hospital-{number}",
        public_key=key.public_key.hex(),
        roles=("trainer", "validator", "hold_out") if site.hold_out else ("trainer", "validator"),
        samples=len(site.training),
        hold_out=round(spec.hold_out_fraction * METRIC_SCALE) if site.hold_out else 0,
        label=spec.label,
        positive=spec.positive,
        statistics=site_statistics(site.training),
    ).signed(key)


def _training(
    genesis: Genesis,
    data: Mapping[RowSet, Dataset],
    number: int,
    code: OwnCode,
    attack: str | None,
) -> LocalTraining:
    contract = genesis.contract
    settings = settings_of(contract)
    return LocalTraining(
        learner=build_learner(settings, len(contract.data.features), data, code),
        settings=settings,
        tensors=contract.model.tensors,
        member=number,
        momenta=MomentumMemory(),
        attack=parse_attack(attack) if attack else None,
    )
