"""Nodes that were away, packets that were lost: everybody reaches the head (P35, P80, P82, P91)."""

import asyncio
import random
from pathlib import Path

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.transport.base import Lane
from fednode.transport.memory import Link, MemoryHub, MemoryTransport
from ledger.records import block_id
from tests.support.network import Peer, found_network, run_network

TRAINING_ROUNDS = 4
LATE_BY = 20
"""So many payloads of others overtake each one on the slowest link."""
SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="four hospitals", training_rounds=TRAINING_ROUNDS, local_steps=5)


def attach(hub: MemoryHub, peers: tuple[Peer, ...]) -> list[MemoryTransport]:
    return [MemoryTransport(hub, name=f"node-{peer.membership.member}") for peer in peers]


def heads(peers: tuple[Peer, ...]) -> list[bytes]:
    ids = []
    for peer in peers:
        with peer.ledger() as ledger:
            ids.append(block_id(ledger.block_at(ledger.head).header))
    return ids


def has_model(peer: Peer) -> bool:
    with peer.ledger() as ledger:
        return (peer.folder / "blobs" / ledger.state.model_id.hex()).is_file()


async def test_a_member_that_was_away_catches_up_with_blocks_and_model(tmp_path: Path) -> None:
    peers = found_network(tmp_path, SPEC, OPTIONS)
    hub = MemoryHub()
    await run_network(peers[:3], TRAINING_ROUNDS, attach(hub, peers[:3]))

    await run_network(peers, TRAINING_ROUNDS, attach(hub, peers))

    assert len(set(heads(peers))) == 1
    assert has_model(peers[3])


async def test_all_members_stopped_and_started_again_go_on(tmp_path: Path) -> None:
    peers = found_network(tmp_path, SPEC, OPTIONS)
    await run_network(peers, 2, attach(MemoryHub(), peers))

    await run_network(peers, TRAINING_ROUNDS, attach(MemoryHub(), peers))

    assert len(set(heads(peers))) == 1


async def test_lost_packets_and_messages_are_repaired(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)

    def lossy(link: Link) -> tuple[int, ...]:
        loss = 0.3 if link.packet.lane is Lane.BULK else 0.1
        return () if rng.random() < loss else (0,)

    peers = found_network(tmp_path, SPEC, OPTIONS)

    await run_network(peers, TRAINING_ROUNDS, attach(MemoryHub(hook=lossy), peers))

    assert len(set(heads(peers))) == 1


async def test_a_hub_that_stops_and_starts_again_stops_nobody(tmp_path: Path) -> None:
    peers = found_network(tmp_path, SPEC, OPTIONS)
    hub = MemoryHub()

    async def restart_hub() -> None:
        await peers[0].watch.reach(1)
        hub.stop()
        await asyncio.to_thread(lambda: None)
        hub.start()

    await asyncio.gather(restart_hub(), run_network(peers, TRAINING_ROUNDS, attach(hub, peers)))

    assert len(set(heads(peers))) == 1


async def test_a_member_that_comes_back_with_the_slowest_link_catches_up(tmp_path: Path) -> None:
    """What goes to and from it is late and overtaken; the others do not wait for it."""
    slow = "node-3"

    def slow_link(link: Link) -> tuple[int, ...]:
        return (LATE_BY,) if slow in {link.sender, link.receiver} else (0,)

    peers = found_network(tmp_path, SPEC, OPTIONS)
    hub = MemoryHub(hook=slow_link)
    await run_network(peers[:3], TRAINING_ROUNDS - 1, attach(hub, peers[:3]))

    await run_network(peers, TRAINING_ROUNDS, attach(hub, peers))

    assert len(set(heads(peers))) == 1
    assert has_model(peers[3])
