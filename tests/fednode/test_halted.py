"""A stop for good outlasts the process (rules P28, P60)."""

import os
from pathlib import Path

import pytest

from consensus.effects import Halt
from consensus.engine import Engine
from fednode.errors import NodeError
from fednode.founding.contracts import ContractOptions
from fednode.halted import HALTED_NAME, Halted
from fednode.learning.data_spec import DataSpec
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.errors import StorageError
from tests.support.network import Peer, found_network

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)
OPTIONS = ContractOptions(name="four hospitals", training_rounds=1)


async def stopped(peer: Peer) -> str:
    with pytest.raises(NodeError) as failure, peer.storage() as storage:
        await peer.node(storage, MemoryTransport(MemoryHub(), name="own")).run()
    return str(failure.value)


@pytest.mark.parametrize("is_lasting", [True, False])
async def test_a_node_that_stopped_for_good_stops_again_until_a_person_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_lasting: bool
) -> None:
    peer = found_network(tmp_path, SPEC, OPTIONS)[0]
    halt = Halt(reason="a quorum decided what is invalid here", is_lasting=is_lasting)
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "step", lambda *_, **__: (halt,))
        first = await stopped(peer)

    file = peer.folder / HALTED_NAME

    assert first.startswith("a quorum decided what is invalid here")
    assert file.exists() is is_lasting
    if is_lasting:
        assert await stopped(peer) == first
        assert f"delete {file}" in first
        file.unlink()
    with peer.storage():
        pass


def test_a_reason_that_cannot_be_kept_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(StorageError, match=r"halted\.txt: Input/output error"):
        Halted(tmp_path).keep("reason")
