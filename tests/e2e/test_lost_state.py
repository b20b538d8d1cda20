"""Real processes whose state folder is lost, is an old copy, or whose key runs twice (rule P60)."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from fednode.testnet.children import Command, start_child
from tests.e2e.faults import Fault, is_late_enough, is_vote, problems, run_case
from tests.support.processes import ProcessNetwork

STOPPED = 3
"""Exit status of a node that had to stop itself."""


async def stop_somebody(network: ProcessNetwork) -> int:
    """Kill a member between its PREPARE and whatever follows; return its number."""
    event = await network.until(lambda e: is_late_enough(network) and is_vote(e, "PREPARE"))
    victim = int(str(event["member"]))
    await network.kill_node(victim)
    return victim


async def restore_snapshot(network: ProcessNetwork) -> Mapping[str, object]:
    """Copy the state of a member, let it vote on, and start it again from the copy."""
    victim = await stop_somebody(network)
    state = network.folder.state(network.name(victim))
    backup = network.folder.root / "backup"
    await asyncio.to_thread(shutil.copytree, state, backup)
    await network.start_node(victim)
    await network.until(lambda e: e["member"] == victim and is_vote(e, "COMMIT"))
    await network.kill_node(victim)
    await asyncio.to_thread(shutil.rmtree, state)
    await asyncio.to_thread(shutil.move, backup, state)
    await network.start_node(victim)
    return {"victim": victim}


async def lose_folder(network: ProcessNetwork) -> Mapping[str, object]:
    """Delete the state of a member; it starts again from nothing."""
    victim = await stop_somebody(network)
    await asyncio.to_thread(shutil.rmtree, network.folder.state(network.name(victim)))
    await network.start_node(victim)
    return {"victim": victim}


async def run_twice(network: ProcessNetwork) -> Mapping[str, object]:
    """Start a copy of a member's folder, key included, while the member runs."""
    victim = await stop_somebody(network)
    own = network.folder.config(network.name(victim)).parent
    copy = network.folder.root / "copy"
    await asyncio.to_thread(shutil.copytree, own, copy)
    config = copy / network.folder.config(network.name(victim)).name
    config.write_text(config.read_text().replace(str(own), str(copy)))
    await network.start_node(victim)
    await network.until(lambda e: e["member"] == victim and e["event"] == "vote")
    log = copy / "node.log"
    arguments = ("-m", "fednode", "run", "--config", str(config))
    clone = await start_child(Command(arguments=arguments, folder=network.folder.root, log=log))
    status = await clone.wait()
    return {"victim": victim, "status": status, "said": clone.last_words()}


@pytest.mark.parametrize("fault", [restore_snapshot, lose_folder])
async def test_a_member_without_its_newest_state_takes_part_and_contradicts_nothing(
    fault: Fault, tmp_path: Path
) -> None:
    result = await run_case(tmp_path, fault)

    assert problems(result) == [], result


async def test_the_second_machine_with_a_key_stops_and_the_first_goes_on(tmp_path: Path) -> None:
    result = await run_case(tmp_path, run_twice)

    assert problems(result) == [], result
    assert result["status"] == STOPPED, result
    assert "another node runs with this node's key" in str(result["said"])
