"""Real processes with faults that are fired by what was observed, never by a clock.

Each case founds a network of four, runs it for twelve training rounds with a recorder beside it,
does one thing to it at the moment named in the case, and lets it finish.
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import psutil

from fednode.config import BrokerSection
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.children import Child, Command, start_child
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.founders import found_network
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.audit import audit
from ledger.genesis import Genesis
from ledger.records import block_id
from ledger.store import Ledger

MEMBERS = 4
TRAINING_ROUNDS = 12
LOCAL_STEPS = 400
FIRST_FAULT_ROUND = 3
RUN_TIMEOUT_S = 240.0

Event: TypeAlias = Mapping[str, object]


@dataclass(slots=True)
class FaultNetwork:
    """Four node processes, a broker process, a recorder process, and all they say."""

    folder: NetworkFolder
    genesis: Genesis
    port: int
    nodes: dict[int, Child] = field(default_factory=dict)
    broker: Child | None = None
    recorder: Child | None = None
    events: list[Event] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)
    _readers: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def start_broker(self) -> None:
        arguments = ("-m", "fednode.transport.broker", "--port", str(self.port))
        command = Command(
            arguments=(*arguments, "--stop-with-parent"),
            folder=self.folder.root,
            log=self.folder.broker_log,
        )
        self.broker = await start_child(command)
        async for _ in self.broker.lines():
            return
        raise AssertionError(f"no broker: {self.broker.last_words()}")

    async def start_recorder(self) -> None:
        """A bystander with the keys of member 0."""
        config = self.folder.config(self.name(0))
        arguments = ("-m", "fednode.testnet.record", "--config", str(config))
        command = Command(
            arguments=(*arguments, "--out", str(self.report_path)),
            folder=self.folder.root,
            log=self.folder.root / "recorder.log",
        )
        self.recorder = await start_child(command)
        async for _ in self.recorder.lines():
            return
        raise AssertionError(f"no recorder: {self.recorder.last_words()}")

    async def start_node(self, number: int) -> None:
        name = self.name(number)
        config = str(self.folder.config(name))
        command = Command(
            arguments=("-m", "fednode", "run", "--config", config, "--events", "-"),
            folder=self.folder.root,
            log=self.folder.log(name),
        )
        node = await start_child(command)
        self.nodes[number] = node
        self._readers[number] = asyncio.create_task(self._read(number, node))

    async def kill_node(self, number: int) -> None:
        """Kill a node without warning and read what it still said."""
        node = self.nodes.pop(number)
        node.kill()
        await node.wait()
        await self._readers[number]

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """Return the next event, from now on, that is wanted."""
        seen = len(self.events)
        async with self._came:
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                await self._came.wait()

    async def until_all_finished(self) -> None:
        """Wait until every member has committed the last training round."""

        def is_finished() -> bool:
            done = {
                event["member"]
                for event in self.events
                if event["event"] == "committed" and event["training_round"] == TRAINING_ROUNDS
            }
            return len(done) == MEMBERS

        async with self._came:
            await self._came.wait_for(is_finished)

    def name(self, number: int) -> str:
        return self.genesis.contract.members[number].name

    @property
    def report_path(self) -> Path:
        return self.folder.root / "recorder.json"

    async def stop(self) -> None:
        for child in (*self.nodes.values(), self.recorder, self.broker):
            if child is not None:
                await child.stop()
        await asyncio.gather(*self._readers.values())

    async def _read(self, number: int, node: Child) -> None:
        async for line in node.lines():
            event = json.loads(line)
            async with self._came:
                self.events.append({**event, "member": number})
                self._came.notify_all()


Fault: TypeAlias = Callable[[FaultNetwork], Awaitable[Mapping[str, object]]]


def is_vote(event: Event, phase: str) -> bool:
    """Whether a member says that it sent its own vote."""
    return (
        event["event"] == "vote"
        and event["phase"] == phase
        and event["voter"] == event["member"]
        and event["block_id"] != ""
    )


def is_late_enough(network: FaultNetwork) -> bool:
    """Whether the network is warm: some heights are behind it."""
    rounds = [int(str(e["training_round"])) for e in network.events if e["event"] == "committed"]
    return max(rounds, default=0) >= FIRST_FAULT_ROUND


async def kill_between(
    network: FaultNetwork, begins: Callable[[Event], bool], too_late: Callable[[Event], bool]
) -> Mapping[str, object]:
    """Kill a member after one event and before another of its own; try again if it was faster."""
    attempts = 0
    while True:
        event = await network.until(lambda e: is_late_enough(network) and begins(e))
        victim = int(str(event["member"]))
        await network.kill_node(victim)
        was_faster = any(
            e["member"] == victim and e["height"] == event["height"] and too_late(e)
            for e in network.events
            if "height" in e
        )
        attempts += 1
        await network.start_node(victim)
        if not was_faster:
            return {"victim": victim, "height": event["height"], "attempts": attempts}


async def kill_proposer(network: FaultNetwork) -> Mapping[str, object]:
    """Kill -9 of the proposer between its PROPOSAL and its own COMMIT."""
    return await kill_between(
        network, lambda e: e["event"] == "proposed", lambda e: is_vote(e, "COMMIT")
    )


async def kill_validator(network: FaultNetwork) -> Mapping[str, object]:
    """Kill -9 of a validator between its PREPARE and its COMMIT."""
    return await kill_between(
        network, lambda e: is_vote(e, "PREPARE"), lambda e: is_vote(e, "COMMIT")
    )


async def kill_trainer(network: FaultNetwork) -> Mapping[str, object]:
    """Kill -9 of a member while its trainer is inside `fit`."""
    event = await network.until(lambda e: is_late_enough(network) and e["event"] == "training")
    victim = int(str(event["member"]))
    await network.kill_node(victim)
    await network.start_node(victim)
    return {"victim": victim, "height": event["height"]}


async def kill_training_process(network: FaultNetwork) -> Mapping[str, object]:
    """Kill -9 of the training process alone, inside `fit`; its node starts another."""
    event = await network.until(lambda e: is_late_enough(network) and e["event"] == "training")
    victim = int(str(event["member"]))
    for child in psutil.Process(network.nodes[victim].process_id).children():
        child.kill()
    return {"victim": victim, "height": event["height"]}


def stop_and_continue(seconds: float) -> Fault:
    """SIGSTOP of a member for some seconds, then SIGCONT."""

    async def fault(network: FaultNetwork) -> Mapping[str, object]:
        event = await network.until(lambda e: is_late_enough(network) and is_vote(e, "PREPARE"))
        victim = int(str(event["member"]))
        os.kill(network.nodes[victim].process_id, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(network.nodes[victim].process_id, signal.SIGCONT)
        return {"victim": victim, "height": event["height"], "seconds": seconds}

    return fault


async def restart_broker(network: FaultNetwork) -> Mapping[str, object]:
    """Kill -9 and restart of the broker."""
    event = await network.until(lambda e: is_late_enough(network) and e["event"] == "proposed")
    assert network.broker is not None
    network.broker.kill()
    await network.broker.wait()
    await network.start_broker()
    return {"height": event["height"]}


async def kill_all(network: FaultNetwork) -> Mapping[str, object]:
    """Kill -9 of all nodes at once."""
    event = await network.until(lambda e: is_late_enough(network) and is_vote(e, "PREPARE"))
    for node in network.nodes.values():
        node.kill()
    for number in range(MEMBERS):
        await network.nodes.pop(number).wait()
    for number in range(MEMBERS):
        await network.start_node(number)
    return {"height": event["height"]}


def cases(stop_s: float) -> dict[str, Fault]:
    """All cases by name."""
    return {
        "proposer between PROPOSAL and COMMIT": kill_proposer,
        "validator between PREPARE and COMMIT": kill_validator,
        "member inside fit": kill_trainer,
        "training process inside fit": kill_training_process,
        "SIGSTOP": stop_and_continue(stop_s),
        "broker": restart_broker,
        "all nodes at once": kill_all,
    }


@asynccontextmanager
async def fault_network(root: Path) -> AsyncIterator[FaultNetwork]:
    """A network that runs, with broker and recorder; everything is stopped at the end."""
    folder = NetworkFolder(root=root)
    port = free_port()
    plan = NetworkPlan(
        data=DataSpec(
            source="sklearn:breast_cancer", split="iid", sites=MEMBERS, test_fraction=0.2
        ),
        options=ContractOptions(
            name="faults",
            training_rounds=TRAINING_ROUNDS,
            local_steps=LOCAL_STEPS,
            timeouts=LOCAL_TIMEOUTS,
        ),
    )
    broker = BrokerSection(url=f"mqtt://127.0.0.1:{port}")
    network = FaultNetwork(folder=folder, genesis=found_network(folder, plan, broker), port=port)
    try:
        await network.start_broker()
        await network.start_recorder()
        for number in range(MEMBERS):
            await network.start_node(number)
        yield network
    finally:
        await network.stop()


async def run_case(root: Path, fault: Fault) -> Mapping[str, object]:
    """Run one case and return what was observed and proved."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(RUN_TIMEOUT_S):
        async with fault_network(root) as network:
            details = await fault(network)
            await network.until_all_finished()
    report = json.loads(network.report_path.read_text())
    return {
        **details,
        "seconds": round(asyncio.get_running_loop().time() - began, 1),
        **verdict(network, report),
    }


def verdict(network: FaultNetwork, report: Mapping[str, object]) -> Mapping[str, object]:
    """What the recorder proved and what the ledgers say."""
    heads, findings = set(), 0
    for member in network.genesis.contract.members:
        with Ledger.open(network.folder.state(member.name), read_only=True) as ledger:
            blocks = tuple(ledger.blocks(1, ledger.head))
            certificate = ledger.certificate_at(ledger.head)
            findings += len(audit(network.genesis, blocks, certificate).findings)
            heads.add((ledger.head, block_id(blocks[-1].header).hex()))
    return {
        "heads": sorted(heads),
        "findings": findings,
        "statements": report["statements"],
        "heights_certified": report["heights_certified"],
        "heights_certified_twice": report["heights_certified_twice"],
        "contradictions": report["contradictions"],
    }


def problems(result: Mapping[str, object]) -> list[str]:
    """What is wrong with a case's result; nothing when it held."""
    found = []
    heads = result["heads"]
    assert isinstance(heads, list)
    if len(heads) != 1:
        found.append(f"expected one head, got {heads}")
    forbidden = ("findings", "heights_certified_twice", "contradictions")
    found += [f"expected no {name}, got {result[name]}" for name in forbidden if result[name]]
    if not result["statements"]:
        found.append("the recorder heard nothing")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
