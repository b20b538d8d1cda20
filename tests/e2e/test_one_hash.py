"""One hash everywhere: kernels, threads and instruction sets change nothing (rule P13)."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.store import Ledger
from tests.support.kernels import environments, recompute, recorded_models
from tests.support.processes import Event, ProcessNetwork, found_processes
from tests.support.recorded_run import HEIGHTS, MODEL, record_run

MEMBERS = 4
TRAINING_ROUNDS = 6
RUN_TIMEOUT_S = 120.0
PLAN = NetworkPlan(
    data=DataSpec(source="sklearn:breast_cancer", split="iid", sites=MEMBERS, test_fraction=0.2),
    options=ContractOptions(
        name="kernels",
        model=MODEL,
        training_rounds=TRAINING_ROUNDS,
        timeouts=replace(LOCAL_TIMEOUTS, collect_ms=30_000),
    ),
)
"""A chain repeats only if every update is in every block, so nobody is left out for being slow."""


@pytest.mark.e2e
@pytest.mark.slow
def test_recorded_updates_give_the_same_models_under_every_kernel(tmp_path: Path) -> None:
    folder = record_run(tmp_path)
    own_rule, recorded = recorded_models(folder)

    results = {name: recompute(folder, each) for name, each in environments().items()}

    assert len(recorded) == HEIGHTS
    assert len({result.kernel for result in results.values()}) > 1, "no kernel took effect"
    first = next(iter(results.values()))
    for name, result in results.items():
        assert tuple(result.models[own_rule]) == recorded, name
        assert result.models == first.models, name
        assert result.tables == first.tables, name


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
async def test_nodes_with_different_kernels_accept_each_others_blocks_and_repeat_the_chain(
    tmp_path: Path,
) -> None:
    spread = distinct_environments()

    chains = []
    for attempt in ("first", "second"):
        network = await run_processes(tmp_path / attempt, spread)
        against = [event for event in network.of_kind("vote") if is_nil_prepare(event)]
        assert against == []
        assert all(set(included(event)) == set(range(MEMBERS)) for event in commits(network))
        chains.append([models(network, number) for number in range(MEMBERS)])

    assert len(chains[0][0]) == TRAINING_ROUNDS
    assert all(chain == chains[0][0] for attempt in chains for chain in attempt)


def distinct_environments() -> dict[int, dict[str, str]]:
    """One environment per node, from the oldest kernel to plain numpy, evenly spread."""
    known = list(environments().values())
    return {number: known[number * (len(known) - 1) // (MEMBERS - 1)] for number in range(MEMBERS)}


async def run_processes(root: Path, environments_of: dict[int, dict[str, str]]) -> ProcessNetwork:
    network = found_processes(root, PLAN, environments=environments_of)
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await network.start_broker()
            for number in range(MEMBERS):
                await network.start_node(number)
            await network.until_all_finished()
    finally:
        await network.stop()
    return network


def commits(network: ProcessNetwork) -> tuple[Event, ...]:
    return network.of_kind("committed")


def included(event: Event) -> list[int]:
    trainers = event["included"]
    assert isinstance(trainers, list)
    return trainers


def is_nil_prepare(event: Event) -> bool:
    return event["phase"] == "PREPARE" and event["block_id"] == ""


def models(network: ProcessNetwork, number: int) -> list[str]:
    with Ledger.open(network.folder.state(network.name(number)), read_only=True) as ledger:
        blocks = ledger.blocks(1, ledger.head)
        return [block.header.results.model_id.hex() for block in blocks]
