"""A run of twenty heights with real training whose updates are all kept."""

import asyncio
from pathlib import Path

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.transport.memory import MemoryHub, MemoryTransport
from tests.support.network import found_network, run_network

HEIGHTS = 20
MEMBERS = 5
TIMEOUT_S = 120.0
SPEC = DataSpec(
    source="sklearn:breast_cancer", split="dirichlet:0.5", sites=MEMBERS, test_fraction=0.2
)
# Larger than one block of columns of the Gram matrix; one liar spreads the rows widely.
MODEL = "mlp"
ATTACK = {3: "sign-flip:10"}


def record_run(folder: Path) -> Path:
    """Run the network in this process; return a member's folder with ledger and bodies."""
    options = ContractOptions(name="recorded", model=MODEL, training_rounds=HEIGHTS, local_steps=5)
    peers = found_network(folder, SPEC, options, attacks=ATTACK)
    hub = MemoryHub()
    transports = [MemoryTransport(hub, name=peer.folder.name) for peer in peers]
    asyncio.run(run_network(peers, HEIGHTS, transports, timeout_s=TIMEOUT_S))
    return peers[0].folder
