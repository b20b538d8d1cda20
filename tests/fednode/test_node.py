"""The host loop: effects in order, and an end with one cause when going on is unsafe (P60, P93)."""

import asyncio
from pathlib import Path

import pytest

from consensus.messages import Message, StatusMessage
from fednode.errors import NodeError
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.outbox import Outbox
from fednode.transport.errors import TransportError
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.errors import StorageError
from ledger.store import Ledger
from tests.support.network import Peer, found_network

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="four hospitals", training_rounds=1)


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    return found_network(tmp_path, SPEC, OPTIONS)[0]


async def run(peer: Peer) -> None:
    with peer.storage() as storage:
        node = peer.node(storage, MemoryTransport(MemoryHub(), name="own"))
        await asyncio.wait_for(node.run(), timeout=20)


async def test_a_failed_write_stops_the_node_before_anything_depends_on_it(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Ledger, record: bytes) -> None:
        del self, record
        raise StorageError("ledger.db: the disk is full")

    monkeypatch.setattr(Ledger, "save_record", fail)

    with pytest.raises(StorageError, match="the disk is full"):
        await run(peer)

    assert [kind for kind, _ in peer.watch.events if kind in ("vote", "proposed")] == []


async def test_an_error_nobody_foresaw_stops_the_node_also_when_a_timer_fired(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of an input's effects are never left undone by a node that goes on."""

    said: list[Message] = []

    def fail_at_the_second(self: Outbox, message: Message) -> None:
        del self
        if isinstance(message, StatusMessage):
            said.append(message)
        if len(said) > 1:
            raise ZeroDivisionError

    monkeypatch.setattr(Outbox, "publish", fail_at_the_second)

    with pytest.raises(NodeError, match="internal error: ZeroDivisionError"):
        await run(peer)


async def test_stop_ends_a_node_whose_trainer_works(peer: Peer) -> None:
    with peer.storage() as storage:
        node = peer.node(storage, MemoryTransport(MemoryHub(), name="own"))
        running = asyncio.create_task(node.run())
        await peer.watch.reach(0)
        while not any(kind == "training" for kind, _ in peer.watch.events):
            await asyncio.wait({running}, timeout=0.01)

        node.stop()

        await asyncio.wait_for(running, timeout=5)


async def test_a_transport_that_fails_by_a_fault_of_this_program_stops_the_node(
    peer: Peer,
) -> None:
    with peer.storage() as storage:
        transport = MemoryTransport(MemoryHub(), name="own")
        node = peer.node(storage, transport)
        running = asyncio.create_task(node.run())
        await asyncio.sleep(0)
        transport.inbox.fail(TransportError("lane=control: internal error"))

        with pytest.raises(TransportError, match="lane=control: internal error"):
            await asyncio.wait_for(running, timeout=20)
