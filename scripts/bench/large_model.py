"""Print as JSON how one training round of a large model ends when packets of bodies are lost.

Node processes over mosquitto with a limit of 1 MiB: once `max_packet_size`, which hangs up on
larger packets, once `message_size_limit`, which acknowledges and drops them. A proxy withholds
every 50th packet of a body from the nodes; what is missing is pulled.

Example: scripts/bench/large_model.py --parameters 10000000
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from networks import MIB, mosquitto, node_usages, running, synthetic_plan

from fednode.founding.contracts import TIMEOUTS
from ledger.records import BlockKind
from ledger.store import Ledger
from tests.support.lossy import lossy_proxy
from tests.support.processes import ProcessNetwork, free_port

LIMITS = ("max_packet_size 1048576", "message_size_limit 1048576")
RUN_TIMEOUT_S = 500.0


def main() -> int:
    """Run the round under each limit; the exit status tells whether all ended with one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--parameters", type=int, default=10_000_000)
    parser.add_argument("--withhold-every", type=int, default=50, help="packets of bodies")
    options = parser.parse_args()
    results = []
    for limit in LIMITS:
        load = os.getloadavg()[0]
        with mosquitto(limit) as url, tempfile.TemporaryDirectory(prefix="fednode-bench-") as root:
            port = urlsplit(url).port
            assert port is not None
            result = asyncio.run(
                one_round(
                    Path(root),
                    nodes=options.nodes,
                    parameters=options.parameters,
                    broker_port=port,
                    every=options.withhold_every,
                )
            )
        results.append({"limit": limit, "load_before": round(load, 2), **result})
    report = {
        "cpus": os.cpu_count(),
        "nodes": options.nodes,
        "parameters": options.parameters,
        "withheld_every": options.withhold_every,
        "results": results,
    }
    print(json.dumps(report, indent=1))
    held = [each["models"] == 1 and each["updates"] == options.nodes for each in results]
    return 0 if all(held) else 1


async def one_round(
    root: Path, *, nodes: int, parameters: int, broker_port: int, every: int
) -> Mapping[str, object]:
    """Run one training round and return what was committed and what it took."""
    port = free_port()
    plan = synthetic_plan(nodes, parameters, 1, TIMEOUTS)
    began = asyncio.get_running_loop().time()
    async with (
        asyncio.timeout(RUN_TIMEOUT_S),
        lossy_proxy(broker_port, port=port, every=every) as proxy,
        running(root, plan, f"mqtt://127.0.0.1:{port}", with_recorder=False) as network,
    ):
        await network.until_all_finished()
        await network.until_all(lambda event: event["event"] == "model" and event["height"] != 0)
        usages = node_usages(network)
    return {
        "seconds_with_start": round(asyncio.get_running_loop().time() - began, 1),
        "seconds": seconds(network),
        "packets_withheld": proxy.withheld,
        "packets_passed": proxy.passed,
        "peak_mib_per_node": [round(each.peak_bytes / MIB) for each in usages.values()],
        "cpu_s_per_node": [round(each.cpu_s, 1) for each in usages.values()],
        "slowest_vote_ms": slowest_vote_ms(network),
        **committed(network),
    }


def seconds(network: ProcessNetwork) -> Mapping[str, float]:
    """Return how long the parts took, from the first node that trained to the last one."""
    first = {
        kind: min(int(str(event["at_ms"])) for event in network.of_kind(kind))
        for kind in ("training", "proposed")
    }
    last = max(int(str(event["at_ms"])) for event in network.of_kind("committed"))
    return {
        "training_and_bodies": (first["proposed"] - first["training"]) / 1000,
        "agreement": (last - first["proposed"]) / 1000,
    }


def slowest_vote_ms(network: ProcessNetwork) -> int:
    """Return the longest time from a vote's sending to its first arrival at another node."""
    sent: dict[object, int] = {}
    arrived: set[object] = set()
    waits = [0]
    votes = sorted(network.of_kind("vote"), key=lambda event: int(str(event["at_ms"])))
    for vote in votes:
        key = (vote["voter"], vote["height"], vote["view"], vote["phase"])
        at_ms = int(str(vote["at_ms"]))
        if vote["voter"] == vote["member"]:
            sent.setdefault(key, at_ms)
        elif key in sent and (vote["member"], key) not in arrived:
            arrived.add((vote["member"], key))
            waits.append(at_ms - sent[key])
    return max(waits)


def committed(network: ProcessNetwork) -> Mapping[str, object]:
    """Return what the ledgers hold: how many different models, of how many updates, which views."""
    models, updates, views = set(), 0, 0
    for member in network.genesis.contract.members:
        with Ledger.open(network.folder.state(member.name), read_only=True) as ledger:
            blocks = tuple(ledger.blocks(1, ledger.head))
            models.add(ledger.state.model_id)
            last = [each for each in blocks if each.header.kind is BlockKind.AGGREGATE][-1]
            updates = len(last.header.results.contributions)
            views = max(each.header.created_view for each in blocks)
    return {"models": len(models), "updates": updates, "latest_view": views}


if __name__ == "__main__":
    sys.exit(main())
