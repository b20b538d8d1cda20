"""Memory of real nodes over many heights, with a member that floods the others or without.

Example: scripts/bench/memory.py --heights 1000 --flooder

Four nodes, each a process, over an embedded broker, with a model of 31 parameters and short waits.
The resident memory of each honest node is printed every `--every` heights, and at the end by how
many bytes it grew per height in the second half. With `--bound` the exit status is 1 if a node
grew by more than that.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

# The checkout's `tests`, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from tests.support.processes import ProcessNetwork, found_processes

MEMBERS = 4
LIAR = 3
FLOODER = "wire_flooder"
SHORT = replace(LOCAL_TIMEOUTS, collect_ms=1_000, have_grace_ms=20)


@dataclass(slots=True)
class Readings:
    """Resident bytes of each honest node, by height."""

    by_height: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def slopes(self) -> tuple[float, ...]:
        """Bytes per height by which each node grew in the second half, by least squares.

        Before that the caches of the process fill, each up to its bound.
        """
        heights = sorted(self.by_height)[len(self.by_height) // 2 :]
        middle = sum(heights) / len(heights)
        spread = sum((height - middle) ** 2 for height in heights)
        return tuple(
            sum((height - middle) * self.by_height[height][node] for height in heights) / spread
            for node in range(len(self.by_height[heights[0]]))
        )


async def run(root: Path, heights: int, every: int, *, has_flooder: bool) -> Readings:
    """Run a network to a height and read its memory on the way."""
    network = found_processes(root, _plan(heights))
    if has_flooder:
        network.actors[LIAR] = FLOODER
    readings = Readings()
    try:
        await network.start_broker()
        for number in range(MEMBERS):
            await network.start_node(number)
        for height in range(every, heights + 1, every):
            await _reach(network, height)
            # What was said is not needed any more, and is this process's memory only.
            network.events.clear()
            readings.by_height[height] = _resident(network)
            _say({"height": height, "resident": readings.by_height[height]})
    finally:
        await network.stop()
    return readings


async def _reach(network: ProcessNetwork, height: int) -> None:
    await network.until(
        lambda event: event["event"] == "committed" and int(str(event["height"])) >= height
    )


def _resident(network: ProcessNetwork) -> tuple[int, ...]:
    honest = [node for number, node in sorted(network.nodes.items()) if number != LIAR]
    return tuple(psutil.Process(node.process_id).memory_info().rss for node in honest)


def _plan(heights: int) -> NetworkPlan:
    return NetworkPlan(
        data=DataSpec(source="sklearn:breast_cancer", split="iid", sites=MEMBERS),
        options=ContractOptions(
            name="memory",
            training_rounds=2 * heights,
            byzantine_budget=1,
            trainer_budget=1,
            timeouts=SHORT,
        ),
    )


def _say(fields: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heights", type=int, default=1000, help="how many heights (1000)")
    parser.add_argument("--every", type=int, default=100, help="heights between two readings")
    parser.add_argument("--flooder", action="store_true", help="let member 3 flood the others")
    parser.add_argument("--bound", type=float, help="most bytes per height that are no growth")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fednode-memory-") as folder:
        readings = asyncio.run(
            run(Path(folder), options.heights, options.every, has_flooder=options.flooder)
        )
    slopes = [round(each) for each in readings.slopes()]
    seconds = round(time.monotonic() - began, 1)
    _say({"bytes_per_height": slopes, "flooder": options.flooder, "seconds": seconds})
    return int(options.bound is not None and max(slopes) > options.bound)


if __name__ == "__main__":
    sys.exit(main())
