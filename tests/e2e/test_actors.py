"""A liar as a process of its own among three honest ones, over a real broker."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.children import Child, Command, start_child
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.audit import audit
from ledger.records import block_id
from ledger.state import State
from ledger.store import Ledger
from tests.fednode.transport.mosquitto import Mosquitto
from tests.support.processes import ProcessNetwork, found_processes

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

MEMBERS, LIAR = 4, 3
HEIGHTS = 5
TIMEOUT_S = 150.0


def plan() -> NetworkPlan:
    return NetworkPlan(
        data=DataSpec(source="sklearn:breast_cancer", split="iid", sites=MEMBERS),
        options=ContractOptions(
            name="one liar",
            training_rounds=200,
            byzantine_budget=1,
            trainer_budget=1,
            timeouts=LOCAL_TIMEOUTS,
        ),
    )


@asynccontextmanager
async def network_with(root: Path, actor: str, url: str = "") -> AsyncIterator[ProcessNetwork]:
    """Three honest processes and one with an actor, or none where `actor` is empty."""
    network = found_processes(root, plan(), url=url)
    if actor:
        network.actors[LIAR] = actor
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if not url:
                await network.start_broker()
            for number in range(MEMBERS):
                await network.start_node(number)
            yield network
    finally:
        await network.stop()


async def reach(network: ProcessNetwork, height: int) -> None:
    """Wait until every honest member committed a height."""

    def is_done() -> bool:
        done = {
            event["member"]
            for event in network.of_kind("committed")
            if int(str(event["height"])) >= height
        }
        return done >= set(range(MEMBERS)) - {LIAR}

    while not is_done():
        await network.until(lambda event: event["event"] == "committed")


def check_ledgers(network: ProcessNetwork) -> State:
    """All honest ledgers audit, and are equal as far as they go; return the last one's state."""
    chains, states = [], []
    for number in sorted(set(range(MEMBERS)) - {LIAR}):
        state = network.folder.state(network.name(number))
        with Ledger.open(state, read_only=True) as ledger:
            blocks = tuple(ledger.blocks(1, ledger.head))
            report = audit(network.genesis, blocks, ledger.certificate_at(ledger.head))
            assert report.findings == ()
            chains.append([block_id(block.header) for block in blocks])
            states.append(ledger.state)
    shortest = min(map(len, chains))
    assert shortest >= HEIGHTS
    assert all(chain[:shortest] == chains[0][:shortest] for chain in chains)
    return states[-1]


@pytest.mark.parametrize(
    "actor", ["withholder", "censor", "replayer", "wire_flooder", "impersonator"]
)
async def test_a_network_goes_on_with_a_liar_that_cannot_be_proven(
    actor: str, tmp_path: Path
) -> None:
    async with network_with(tmp_path / "net", actor) as network:
        await reach(network, HEIGHTS)
        assert network.nodes[LIAR].is_running

    state = check_ledgers(network)
    assert state.banned == ()


async def test_an_equivocator_is_banned_and_stops_with_the_reason(
    tmp_path: Path, mosquitto_binary: Path
) -> None:
    with Mosquitto(mosquitto_binary, tmp_path) as broker:
        async with network_with(tmp_path / "net", "equivocator", broker.url) as network:
            await reach(network, HEIGHTS)
            words = await ending(network.nodes[LIAR])

    state = check_ledgers(network)
    assert state.banned == (LIAR,)
    # Whichever it hears first: the evidence, or its own second statement from somebody else.
    assert "ban the key (rule P45)" in words or "but not by this node" in words


async def test_a_copied_key_stops_its_nodes_and_the_others_go_on(tmp_path: Path) -> None:
    """Rules P45, P60: whatever comes first, a ban or a statement of the other, names the key."""
    async with network_with(tmp_path / "net", "") as network:
        original = network.nodes[LIAR]
        await reach(network, 1)
        clone = await start_clone(network)
        words = await ending(clone if await ends_first(clone, original) else original)
        await reach(network, HEIGHTS)
        await clone.stop()

    check_ledgers(network)
    assert "key" in words or "banned" in words, words


async def start_clone(network: ProcessNetwork) -> Child:
    """Start a second node on a copy of a member's folder as it was before the first start."""
    folder = network.folder.member(network.name(LIAR))
    copy = folder.parent / "clone"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("state", "node.log"))
    arguments = ("-m", "fednode", "run", "--config", str(copy / "node.toml"))
    return await start_child(
        Command(arguments=arguments, folder=folder.parent, log=copy / "node.log")
    )


async def ends_first(one: Child, other: Child) -> bool:
    """Wait until one of two processes ends; return whether it is the first."""
    waits = [asyncio.create_task(each.wait()) for each in (one, other)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    return waits[0].done()


async def ending(node: Child) -> str:
    """Wait until a process ends by itself, and return its last words."""
    await node.wait()
    return node.last_words()
