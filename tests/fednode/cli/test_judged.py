"""What members say of models is shown where people look for it (rule P16)."""

import asyncio
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.store import Ledger
from tests.fednode.cli.support import Made, invoke, json_of
from tests.support.network import found_network, run_network

HEIGHTS = 3
"""Two training rounds, and the height that closes training."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judged")
    spec = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, hold_out_fraction=0.25)
    peers = found_network(root, spec, ContractOptions(name="judged", training_rounds=2))
    hub = MemoryHub()
    transports = [MemoryTransport(hub, name=f"node-{number}") for number in range(4)]
    asyncio.run(run_network(peers, HEIGHTS, transports))
    return peers[0].folder


def test_status_and_blocks_show_medians_best_model_and_returns(folder: Path) -> None:
    with Ledger.open(folder, read_only=True) as ledger:
        state, block = ledger.state, ledger.block_at(HEIGHTS)
    own = sorted(each.statement.value for each in block.metrics if each.statement.height == 2)

    at_end = json_of("ledger", "show", folder, HEIGHTS)["feedback"]

    assert (at_end["best_height"], at_end["returns"]) == (state.best.height, 0)
    assert at_end["best_model_id"] == state.best.model_id.hex()
    last = at_end["judged"][-1]
    assert (last["height"], last["figures"]) == (2, 4)
    assert own[0] <= last["median"] <= own[-1]
    assert json_of("ledger", "show", folder, 1)["feedback"]["best_height"] == 0
    assert json_of("status", folder)["feedback"] == at_end
    for text in (invoke("status", folder).output, invoke("ledger", "show", folder).output):
        assert f"height {state.best.height}; returns to it: 0" in " ".join(text.split())
        assert f"median {last['median'] / 1_000_000:.6f}" in text


def test_a_card_shows_how_members_judged_the_model(folder: Path, tmp_path: Path) -> None:
    best, first = tmp_path / "best", tmp_path / "first"
    invoke("model", "export", folder, "--best", "--out", best)
    invoke("model", "export", folder, "--height", 1, "--out", first)

    card = json_of("model", "card", best, "--ledger", folder)
    text = invoke("model", "card", first, "--ledger", folder).output
    earlier = json_of("model", "card", first, "--ledger", folder)

    assert card["feedback"]["best_model_id"] == card["model_id"]
    assert card["feedback"]["judged"]["model_id"] == card["model_id"]
    assert card["feedback"]["judged"]["median"] > card["feedback"]["judged"]["best_median"]
    assert earlier["feedback"]["judged"]["model_id"] == earlier["model_id"]
    assert "best model" in text
    assert f"that of height {card['height']}; returns to the best: 0" in text


def test_nothing_is_said_of_judgement_where_nobody_judges(made: Made, tmp_path: Path) -> None:
    invoke("model", "export", made.member(0), "--out", tmp_path / "m")

    assert json_of("status", made.member(0))["feedback"] is None
    assert json_of("ledger", "show", made.member(0))["feedback"] is None
    assert json_of("model", "card", tmp_path / "m", "--ledger", made.member(0))["feedback"] == {}
