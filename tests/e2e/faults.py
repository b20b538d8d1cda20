"""Real processes with faults that are fired by what was observed, never by a clock.

Each case founds a network of four, runs it for twelve training rounds with a recorder beside it,
does one thing to it at the moment named in the case, and lets it finish.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import psutil

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.audit import audit
from ledger.records import block_id
from ledger.store import Ledger
from tests.support.processes import Event, ProcessNetwork, found_processes

MEMBERS = 4
TRAINING_ROUNDS = 12
LOCAL_STEPS = 400
FIRST_FAULT_ROUND = 3
RUN_TIMEOUT_S = 240.0

Fault: TypeAlias = Callable[[ProcessNetwork], Awaitable[Mapping[str, object]]]


def is_vote(event: Event, phase: str) -> bool:
    """Whether a member says that it sent its own vote."""
    return (
        event["event"] == "vote"
        and event["phase"] == phase
        and event["voter"] == event["member"]
        and event["block_id"] != ""
    )


def is_late_enough(network: ProcessNetwork) -> bool:
    """Whether the network is warm: some heights are behind it."""
    rounds = [int(str(e["training_round"])) for e in network.events if e["event"] == "committed"]
    return max(rounds, default=0) >= FIRST_FAULT_ROUND


async def kill_between(
    network: ProcessNetwork, begins: Callable[[Event], bool], too_late: Callable[[Event], bool]
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


async def kill_proposer(network: ProcessNetwork) -> Mapping[str, object]:
    """Kill -9 of the proposer between its PROPOSAL and its own COMMIT."""
    return await kill_between(
        network, lambda e: e["event"] == "proposed", lambda e: is_vote(e, "COMMIT")
    )


async def kill_validator(network: ProcessNetwork) -> Mapping[str, object]:
    """Kill -9 of a validator between its PREPARE and its COMMIT."""
    return await kill_between(
        network, lambda e: is_vote(e, "PREPARE"), lambda e: is_vote(e, "COMMIT")
    )


async def kill_trainer(network: ProcessNetwork) -> Mapping[str, object]:
    """Kill -9 of a member while its trainer is inside `fit`."""
    event = await network.until(lambda e: is_late_enough(network) and e["event"] == "training")
    victim = int(str(event["member"]))
    await network.kill_node(victim)
    await network.start_node(victim)
    return {"victim": victim, "height": event["height"]}


async def kill_training_process(network: ProcessNetwork) -> Mapping[str, object]:
    """Kill -9 of the training process alone, inside `fit`; its node starts another."""
    event = await network.until(lambda e: is_late_enough(network) and e["event"] == "training")
    victim = int(str(event["member"]))
    for child in psutil.Process(network.nodes[victim].process_id).children():
        child.kill()
    return {"victim": victim, "height": event["height"]}


def stop_and_continue(seconds: float) -> Fault:
    """SIGSTOP of a member for some seconds, then SIGCONT."""

    async def fault(network: ProcessNetwork) -> Mapping[str, object]:
        event = await network.until(lambda e: is_late_enough(network) and is_vote(e, "PREPARE"))
        victim = int(str(event["member"]))
        os.kill(network.nodes[victim].process_id, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(network.nodes[victim].process_id, signal.SIGCONT)
        return {"victim": victim, "height": event["height"], "seconds": seconds}

    return fault


async def restart_broker(network: ProcessNetwork) -> Mapping[str, object]:
    """Kill -9 and restart of the broker."""
    event = await network.until(lambda e: is_late_enough(network) and e["event"] == "proposed")
    assert network.broker is not None
    network.broker.kill()
    await network.broker.wait()
    await network.start_broker()
    return {"height": event["height"]}


async def kill_all(network: ProcessNetwork) -> Mapping[str, object]:
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
async def fault_network(root: Path) -> AsyncIterator[ProcessNetwork]:
    """A network that runs, with broker and recorder; everything is stopped at the end."""
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
    network = found_processes(root, plan)
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


def verdict(network: ProcessNetwork, report: Mapping[str, object]) -> Mapping[str, object]:
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
