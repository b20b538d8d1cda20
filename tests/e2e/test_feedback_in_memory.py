"""Rule P16 with real training: hospitals judge models on rows that they never train on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.model_export import Which, export_model
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.audit import audit
from ledger.genesis import Genesis
from ledger.model_file import decode_model_file
from ledger.records import BlockKind
from ledger.state import State
from tests.support.network import TEST_TIMEOUTS, Peer, found_network, run_network

SPEC = DataSpec(
    source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2, hold_out_fraction=0.25
)
PATIENT = replace(TEST_TIMEOUTS, collect_ms=3_000, collect_max_ms=3_000)


async def judged(
    folder: Path,
    options: ContractOptions,
    *,
    heights: int,
    attacks: Mapping[int, str] | None = None,
) -> tuple[Peer, ...]:
    peers = found_network(folder, SPEC, options, timeouts=PATIENT, attacks=attacks)
    hub = MemoryHub()
    transports = [MemoryTransport(hub, name=f"node-{number}") for number in range(len(peers))]
    await run_network(peers, heights, transports)
    return peers


def state_of(peer: Peer) -> State:
    with peer.ledger() as ledger:
        return ledger.state


def genesis_of(peer: Peer) -> Genesis:
    return peer.membership.genesis


async def test_good_training_makes_the_last_model_the_best_in_the_closing_height(
    tmp_path: Path,
) -> None:
    options = ContractOptions(name="judges", training_rounds=3)

    peers = await judged(tmp_path, options, heights=4)

    states = [state_of(peer) for peer in peers]
    assert len({state.tip_id for state in states}) == 1
    assert states[0].best.height == 3
    assert states[0].best.model_id == states[0].model_id
    with peers[0].ledger() as ledger:
        blocks = tuple(ledger.blocks(1, 4))
        report = audit(genesis_of(peers[0]), blocks, ledger.certificate_at(4))
    assert blocks[-1].header.kind is BlockKind.EMPTY
    assert len(blocks[-1].metrics) == 4
    assert report.findings == ()


async def test_training_that_gets_worse_returns_to_the_best_model(tmp_path: Path) -> None:
    """One hospital turns its updates round, and the mean lets it lead all models astray."""
    options = ContractOptions(name="astray", training_rounds=6, rule="mean", patience=2)

    peers = await judged(tmp_path, options, heights=6, attacks={3: "sign-flip:10"})

    with peers[0].ledger() as ledger:
        state, blocks = ledger.state, tuple(ledger.blocks(1, 6))
    initial = ledger.contract.model.initial_model_id
    assert state.returns >= 1
    assert state.best.model_id == initial
    bases = [block.header.base_model_id for block in blocks]
    assert bases[0] == initial
    assert initial in bases[1:]
    best = decode_model_file(export_model(peers[0].folder))
    last = decode_model_file(export_model(peers[0].folder, which=Which.LAST))
    assert best.model_id == initial
    assert last.model_id == blocks[-1].header.results.model_id


@pytest.mark.parametrize("which", list(Which))
async def test_the_model_that_counts_is_exported(tmp_path: Path, which: Which) -> None:
    options = ContractOptions(name="judges", training_rounds=1)
    peers = await judged(tmp_path, options, heights=2)

    model = decode_model_file(export_model(peers[0].folder, which=which))

    assert model.model_id == state_of(peers[0]).best.model_id
