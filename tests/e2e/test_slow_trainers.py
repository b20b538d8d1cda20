"""Trainers that take longer than a height: the network waits, and goes on (rules P10, P11, P15)."""

import asyncio
import threading
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.learning.local_training import FitOutcome, LocalTraining
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.records import BlockKind
from tests.support.network import Peer, found_network, run_network

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="four hospitals", training_rounds=1)
WAIT_MAX_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Late(LocalTraining):
    """Training that ends only when it is allowed to."""

    may_end: threading.Event

    @override
    def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        self.may_end.wait(WAIT_MAX_S)
        return LocalTraining.fit(self, training_round, model)


def late(peer: Peer, may_end: threading.Event) -> Peer:
    inherited = {each.name: getattr(peer.training, each.name) for each in fields(LocalTraining)}
    return replace(peer, training=Late(may_end=may_end, **inherited))


async def test_a_network_whose_first_training_takes_longer_than_a_height_gets_its_model(
    tmp_path: Path,
) -> None:
    may_end = threading.Event()
    peers = [late(peer, may_end) for peer in found_network(tmp_path, SPEC, OPTIONS)]
    hub = MemoryHub()

    async def allow_after_first_height() -> None:
        await peers[0].watch.reach(1)
        may_end.set()

    await asyncio.gather(
        allow_after_first_height(),
        run_network(
            peers, 2, [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]
        ),
    )

    with peers[0].ledger() as ledger:
        kinds = [block.header.kind for block in ledger.blocks(1, ledger.head)]
    assert kinds[0] is BlockKind.EMPTY
    assert kinds[-1] is BlockKind.AGGREGATE


async def test_what_one_trainer_finishes_too_late_counts_at_the_next_height(
    tmp_path: Path,
) -> None:
    """Rule P10: with its old base, under a new header."""
    may_end = threading.Event()
    peers = list(found_network(tmp_path, SPEC, replace(OPTIONS, training_rounds=3)))
    peers[3] = late(peers[3], may_end)
    hub = MemoryHub()

    async def allow_after_first_height() -> None:
        await peers[0].watch.reach(1)
        may_end.set()

    await asyncio.gather(
        allow_after_first_height(),
        run_network(
            peers, 3, [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]
        ),
    )

    with peers[0].ledger() as ledger:
        first, second = ledger.blocks(1, 2)
    assert [each.trainer for each in first.header.results.contributions] == [0, 1, 2]
    (own,) = [each.statement for each in second.updates if each.statement.trainer == 3]
    weights = {each.trainer: each.weight for each in second.header.results.contributions}
    assert (own.training_round, second.header.training_round) == (1, 2)
    assert own.base_model_id == first.header.base_model_id
    assert 3 in weights
