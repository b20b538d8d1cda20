"""Rule P1: when too few members are left, the rest go on in a new chain from the old model."""

from dataclasses import replace
from pathlib import Path

from fednode.config import INITIAL_MODEL_NAME
from fednode.founding.contracts import ContractOptions
from fednode.founding.initial_model import take_over
from fednode.learning.data_spec import DataSpec
from fednode.learning.site_data import load_sites
from fednode.model_export import export_model
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.audit import audit
from ledger.continuation import continuation_findings
from ledger.model_file import decode_model_file
from ledger.records import BlockKind
from tests.support.network import TEST_TIMEOUTS, Peer, found_network, found_sites, run_network

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
LEFT = (1, 3)
"""Two of four: less than the two thirds of the power that a block takes."""


async def run(peers: tuple[Peer, ...], height: int) -> None:
    hub = MemoryHub()
    transports = [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]
    await run_network(peers, height, transports)


async def test_half_of_a_network_trains_on_from_the_model_of_the_whole(tmp_path: Path) -> None:
    old = found_network(tmp_path / "old", SPEC, ContractOptions(name="old", training_rounds=2))
    await run(old, 2)
    left = old[LEFT[0]]
    with left.ledger() as ledger:
        blocks, certificate, state = (
            tuple(ledger.blocks(1, 2)),
            ledger.certificate_at(2),
            ledger.state,
        )
    founded = left.membership.genesis
    file = export_model(left.folder)

    earlier = take_over(founded.contract, state, file)
    sites = load_sites(SPEC)
    options = ContractOptions(name="new", training_rounds=2, seed=9, timeouts=TEST_TIMEOUTS)
    new = found_sites(
        tmp_path / "new", [sites[number] for number in LEFT], SPEC, options, earlier=earlier
    )
    for peer in new:
        peer.folder.mkdir(parents=True)
        (peer.folder / INITIAL_MODEL_NAME).write_bytes(file)
    await run(new, 2)

    contract = new[0].membership.genesis.contract
    with new[0].ledger() as ledger:
        more, last = tuple(ledger.blocks(1, 2)), ledger.certificate_at(2)
    assert [block.header.kind for block in more] == [BlockKind.AGGREGATE] * 2
    assert more[0].header.base_model_id == decode_model_file(file).model_id == state.model_id
    assert contract.data == founded.contract.data
    assert audit(new[0].membership.genesis, more, last).findings == ()
    assert continuation_findings(contract, founded, blocks, certificate) == ()
    forged = replace(contract, continues=(replace(earlier.named, height=1),))
    assert len(continuation_findings(forged, founded, blocks, certificate)) == 2
