"""Print as JSON how long a height takes besides training: real processes, a real broker.

The time runs from the moment at which the last trainer of a height has handed over the last packet
of its update to the one at which the last node has stored the block. Training costs nearly nothing
here. All processes share one machine, so the figures include what nodes take from each other.

Example: scripts/bench/round_overhead.py --nodes 4,10 --parameters 10000,1000000 --broker mosquitto
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median

from networks import MIB, Usage, mosquitto, node_usages, running, synthetic_plan

from fednode.founding.contracts import ContractOptions
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.store import Ledger
from tests.support.processes import Event, ProcessNetwork

WARM_UP = 2
"""First heights that are not counted: connections, caches and imports are cold."""
RUN_TIMEOUT_S = 600.0
BROKERS = {"embedded": (), "mosquitto": (), "mosquitto-nodelay": ("set_tcp_nodelay true",)}
"""Names, and lines in the configuration of mosquitto."""


def main() -> int:
    """Measure every combination and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", default="4", help="numbers of nodes, with commas")
    parser.add_argument("--parameters", default="10000", help="sizes of the model, with commas")
    parser.add_argument("--broker", default="embedded", help="embedded, mosquitto, with commas")
    parser.add_argument("--heights", type=int, default=12, help="training rounds of each run")
    options = parser.parse_args()
    if options.heights <= WARM_UP or not set(options.broker.split(",")) <= set(BROKERS):
        parser.error(f"expected more than {WARM_UP} heights and brokers of {', '.join(BROKERS)}")
    results = []
    for broker in options.broker.split(","):
        for nodes in numbers(options.nodes):
            for parameters in numbers(options.parameters):
                plan = synthetic_plan(nodes, parameters, options.heights, LOCAL_TIMEOUTS)
                load = os.getloadavg()[0]
                figures = run(broker, plan)
                where = {"broker": broker, "nodes": nodes, "parameters": parameters}
                results.append({**where, "load_before": round(load, 2), **figures})
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    report = {
        "cpus": os.cpu_count(),
        "rule": ContractOptions(name="").rule,
        "timeouts_ms": asdict(LOCAL_TIMEOUTS),
        "warm_up_heights": WARM_UP,
        "results": results,
    }
    print(json.dumps(report, indent=1))
    return 0


def run(broker: str, plan: NetworkPlan) -> Mapping[str, object]:
    """Run one network over one kind of broker and return its figures."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fednode-bench-")))
        url = ""
        if broker != "embedded":
            url = stack.enter_context(mosquitto(*BROKERS[broker]))
        return asyncio.run(measure(root, plan, url))


def numbers(text: str) -> Iterator[int]:
    """Yield the numbers of a list with commas."""
    return (int(each) for each in text.split(","))


async def measure(root: Path, plan: NetworkPlan, url: str) -> Mapping[str, object]:
    """Run one network to its end and return its figures."""
    async with asyncio.timeout(RUN_TIMEOUT_S), running(root, plan, url) as network:
        await network.until_all_committed(WARM_UP)
        before = node_usages(network)
        await network.until_all_finished()
        after = node_usages(network)
    return {**times(network), **costs(network, before, after)}


def times(network: ProcessNetwork) -> Mapping[str, object]:
    """Return the seconds of the heights after the warm-up."""
    pushed_ms = {str(e["body_id"]): at_ms(e) for e in network.of_kind("pushed")}
    stored_ms = {
        height: max(at_ms(e) for e in network.of_kind("committed") if e["height"] == height)
        for height in {int(str(e["height"])) for e in network.of_kind("committed")}
    }
    overheads, periods, views = [], [], 0
    with Ledger.open(network.folder.state(network.name(0)), read_only=True) as ledger:
        for block in ledger.blocks(WARM_UP + 1, ledger.head):
            height = block.header.height
            views += block.header.created_view
            periods.append((stored_ms[height] - stored_ms[height - 1]) / 1000)
            bodies = [pushed_ms[each.statement.update_id.hex()] for each in block.updates]
            if bodies:
                overheads.append((stored_ms[height] - max(bodies)) / 1000)
    return {
        "heights": len(periods),
        "later_views": views,
        "overhead_s": spread(overheads),
        "whole_height_s": spread(periods),
    }


def costs(
    network: ProcessNetwork, before: Mapping[int, Usage], after: Mapping[int, Usage]
) -> Mapping[str, object]:
    """Return CPU time and traffic per height after the warm-up, and peak memory."""
    report = json.loads(network.report_path.read_text())
    heights = network.genesis.contract.training_rounds - WARM_UP
    began = max(at_ms(e) for e in network.of_kind("committed") if int(str(e["height"])) == WARM_UP)
    packets = [each for each in report["packets"] if each[0] > began]
    by_kind: dict[str, int] = {}
    for _, topic, size in packets:
        kind = topic.split("/")[0]
        by_kind[kind] = by_kind.get(kind, 0) + size
    cpu = [(after[n].cpu_s - before[n].cpu_s) / heights for n in after]
    return {
        "cpu_s_per_node_and_height": round(fmean(cpu), 4),
        "published_bytes_per_height": round(sum(by_kind.values()) / heights),
        "published_packets_per_height": round(len(packets) / heights, 1),
        "published_bytes_by_topic": {k: round(v / heights) for k, v in sorted(by_kind.items())},
        "peak_mib_per_node": round(max(each.peak_bytes for each in after.values()) / MIB),
    }


def spread(values: list[float]) -> Mapping[str, float]:
    """Return median, least and greatest."""
    return {
        "median": round(median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def at_ms(event: Event) -> int:
    """Return the monotonic time of an event."""
    return int(str(event["at_ms"]))


if __name__ == "__main__":
    sys.exit(main())
