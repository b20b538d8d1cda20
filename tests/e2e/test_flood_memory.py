"""Rule P37 in whole nodes: what a flooding member sends does not stay in the others' memory.

`scripts/bench/memory.py` measures the same on processes, over many heights.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import override

from fednode import exchange, inbox
from fednode.assembly import Storage
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.node import Node
from fednode.transport.base import Transport
from fednode.transport.memory import MemoryHub, MemoryTransport
from tests.byzantine.actors.triggers import Trigger
from tests.byzantine.backstage import NodeStage
from tests.byzantine.wire_flooder import WireFlooder
from tests.simulation.buffers import count_items
from tests.support.network import Peer, found_network, run_network

HEIGHTS = 6
LIAR = 3
SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(
    name="one flooder", training_rounds=HEIGHTS, byzantine_budget=1, trainer_budget=1
)
EARLY_BYTES = 2**18
OWNERS = ("consensus.", "fednode.")
ITEMS_MAX = 3_000
"""With the bound above; a height without a flooder leaves a third of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPeer(Peer):
    """A peer whose node can be looked at afterwards; it may have an actor.

    Attributes:
        made: Its nodes, the newest last.
    """

    made: list[Node] = field(default_factory=list)

    @override
    def node(self, storage: Storage, transport: Transport) -> Node:
        node = Peer.node(self, storage, transport)
        if self.membership.member == LIAR:
            stage = NodeStage(node, self.membership, storage)
            stage.enter(WireFlooder(stage), Trigger())
        self.made.append(node)
        return node


async def flooded_items(tmp_path: Path) -> int:
    """Run a network with a flooder; return the most items that an honest node then keeps."""
    peers = tuple(
        WatchedPeer(
            membership=peer.membership,
            folder=peer.folder,
            training=peer.training,
            watch=peer.watch,
        )
        for peer in found_network(tmp_path, SPEC, OPTIONS)
    )
    hub = MemoryHub()
    transports = [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]
    await run_network(peers, HEIGHTS, transports)
    honest = [peer.made[-1]._parts for peer in peers if peer.membership.member != LIAR]
    return max(
        sum(
            count_items(part, set(), OWNERS)
            for part in (node.engine, node.inbox, node.outbox, node.exchange, node.chores)
        )
        for node in honest
    )


@pytest.fixture(autouse=True)
def strong_flooder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WireFlooder, "packets", 150)
    monkeypatch.setattr(inbox, "SEEN_MAX", 512)


async def test_a_flooder_does_not_fill_the_memory_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EARLY_BYTES_MAX", EARLY_BYTES)

    items = await flooded_items(tmp_path)

    assert items <= ITEMS_MAX


async def test_one_buffer_without_a_bound_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EARLY_BYTES_MAX", 2**60)
    monkeypatch.setattr(exchange.BodyExchange, "_drop_early", lambda _: None)

    items = await flooded_items(tmp_path)

    assert items > ITEMS_MAX
