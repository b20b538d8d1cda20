"""A member whose own learner fails goes on voting; the others train on without it (rule P1)."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.learning.learner_file import OwnCode
from fednode.learning.own_learner import OwnLearner, build_own
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.audit import audit
from tests.support.network import TEST_TIMEOUTS, Peer, found_network, run_network
from tests.support.user_learner import MISTAKES, MODEL, SOURCE, write_learner

SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4)
HASTY = replace(TEST_TIMEOUTS, collect_ms=400, collect_max_ms=1_000)
UNLUCKY = 2
FAILURES = {2: "exception", 3: "another shape", 4: "NaN loss"}
"""What goes wrong at the unlucky member, by training round."""
SENTENCES = {
    2: "failed in fit of training round 2: ValueError: the rows are odd (line ",
    3: "failed in fit of training round 3: expected shape (30,) for tensor 'slope', got (31,)",
    4: "failed in fit of training round 4: the loss is nan: the training diverged",
}


def unlucky_source() -> str:
    lines = [
        f"if context.training_round == {training_round}:\n            {MISTAKES[mistake]}\n"
        for training_round, mistake in FAILURES.items()
    ]
    return SOURCE.replace("# mistake", "        ".join(lines))


def with_file(peer: Peer, code: OwnCode) -> Peer:
    """The member with what the file of the learner holds now."""
    training = peer.training
    own = training.learner
    assert isinstance(own, OwnLearner)
    data = own.learner.data  # type: ignore[attr-defined]  # a user's class
    n_features = len(peer.membership.genesis.contract.data.features)
    learner = build_own(training.settings, n_features, data, code)
    return replace(peer, training=replace(training, learner=learner))


def voters_heard(peers: tuple[Peer, ...], height: int) -> set[object]:
    """Members whose votes for a block of that height came to somebody else."""
    return {
        fields["voter"]
        for number, peer in enumerate(peers)
        for kind, fields in peer.watch.events
        if kind == "vote" and fields["height"] == height and fields["block_id"]
        if fields["voter"] != number
    }


async def test_member_whose_learner_fails_goes_on_voting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = write_learner(tmp_path)
    options = ContractOptions(
        name="own", model=MODEL, learner_file=code.file, training_rounds=4, local_steps=5
    )
    peers = found_network(tmp_path / "members", SPEC, options, timeouts=HASTY)
    write_learner(tmp_path, unlucky_source())
    peers = tuple(with_file(peer, code) if n == UNLUCKY else peer for n, peer in enumerate(peers))
    hub = MemoryHub()

    with caplog.at_level(logging.WARNING, "fednode.own_training"):
        await run_network(peers, 4, [MemoryTransport(hub, name=f"node-{n}") for n in range(4)])

    for height, sentence in SENTENCES.items():
        assert f"height={height}: training failed: the learner {MODEL} {sentence}" in caplog.text
        assert UNLUCKY in voters_heard(peers, height)
    with peers[UNLUCKY].ledger() as ledger:
        blocks = tuple(ledger.blocks(1, 4))
        report = audit(peers[0].membership.genesis, blocks, ledger.certificate_at(4))
    trainers = [{each.statement.trainer for each in block.updates} for block in blocks]
    assert trainers == [{0, 1, 2, 3}, *[{0, 1, 3}] * 3]
    assert report.findings == ()
