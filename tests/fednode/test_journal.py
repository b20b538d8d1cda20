"""What a node keeps of contradicting statements, and what it tells about them (rules P34, P45)."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from consensus.effects import ReportContradiction
from consensus.messages import ProposalMessage, VoteMessage
from fednode import journal
from fednode.events import Plain
from fednode.journal import CONTRADICTIONS_MAX, Journal
from ledger.encoding import decode, encode
from ledger.keys import SecretKey, sign, verify
from ledger.records import FRESH, Block, Phase, Proposal, Vote, block_id
from tests.support.ledger import stub_chain

CHAIN = bytes(32)
LIAR = 2
KEY = SecretKey(bytes(range(32)))


class Told:
    """An event sink that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Plain]]] = []

    def emit(self, kind: str, fields: Mapping[str, Plain]) -> None:
        self.events.append((kind, fields))


def vote(block: bytes) -> VoteMessage:
    statement = Vote(phase=Phase.PREPARE, height=7, view=1, valid_view=FRESH, block_id=block)
    return VoteMessage(vote=sign(statement, KEY, signer=LIAR, chain_id=CHAIN), reason="")


def offer(block: Block) -> ProposalMessage:
    statement = Proposal(height=7, view=1, valid_view=FRESH, block_id=block_id(block.header))
    signed = sign(statement, KEY, signer=LIAR, chain_id=CHAIN)
    return ProposalMessage(proposal=signed, block=block, certificate=())


def contradiction() -> ReportContradiction:
    return ReportContradiction(member=LIAR, first=vote(b"\1" * 32), second=vote(b"\2" * 32))


def test_kept_statements_convict_their_signer_without_the_node(tmp_path: Path) -> None:
    path = tmp_path / "contradictions.jsonl"

    Journal(events=Told(), contradictions=path).note(contradiction())

    kept = json.loads(path.read_text())
    messages = [decode(VoteMessage, bytes.fromhex(each["bytes"])) for each in kept["statements"]]
    votes = [verify(each.vote, KEY.public_key, chain_id=CHAIN).statement for each in messages]
    assert kept["accused"] == LIAR
    assert [each["kind"] for each in kept["statements"]] == ["VoteMessage", "VoteMessage"]
    assert [(each.height, each.view, each.phase) for each in votes] == [(7, 1, Phase.PREPARE)] * 2
    assert votes[0].block_id != votes[1].block_id


def test_an_event_names_contradicting_proposals_and_leaves_their_blocks_to_the_file(
    tmp_path: Path,
) -> None:
    """Rule P37: a thousand of them in one height must not fill what reads along."""
    path, told = tmp_path / "contradictions.jsonl", Told()
    first, second = (offer(stub_chain(number).blocks[-1]) for number in (1, 2))

    Journal(events=told, contradictions=path).note(
        ReportContradiction(member=LIAR, first=first, second=second)
    )

    ((kind, event),) = told.events
    statements = event["statements"]
    assert isinstance(statements, list)
    assert (kind, event["accused"]) == ("contradiction", LIAR)
    for message, named in zip((first, second), statements, strict=True):
        assert named == {
            "kind": "ProposalMessage",
            "bytes_hash": sha256(encode(message)).hexdigest(),
            "height": 7,
            "view": 1,
            "block_id": block_id(message.block.header).hex(),
        }
    kept = [each["bytes"] for each in json.loads(path.read_text())["statements"]]
    assert kept == [encode(first).hex(), encode(second).hex()]
    assert len(json.dumps(event)) < 1000 < len(kept[0])


def test_contradictions_are_told_without_end_but_kept_up_to_a_limit(tmp_path: Path) -> None:
    path, told = tmp_path / "contradictions.jsonl", Told()
    made = Journal(events=told, contradictions=path)

    for _ in range(CONTRADICTIONS_MAX + 1):
        made.note(contradiction())

    assert [kind for kind, _ in told.events] == ["contradiction"] * (CONTRADICTIONS_MAX + 1)
    assert len(path.read_text().splitlines()) == CONTRADICTIONS_MAX


def test_a_file_that_cannot_be_written_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    Journal(events=told, contradictions=tmp_path / "gone" / "file").note(contradiction())

    assert [kind for kind, _ in told.events] == ["contradiction"]
    assert "cannot keep a contradiction" in caplog.text


def test_kept_contradictions_are_bounded_over_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule P37."""
    path = tmp_path / "contradictions.jsonl"
    Journal(events=Told(), contradictions=path).note(contradiction())
    monkeypatch.setattr(journal, "CONTRADICTIONS_BYTES_MAX", 2 * path.stat().st_size)

    for _ in range(5):
        Journal(events=Told(), contradictions=path).note(contradiction())

    assert len(path.read_text().splitlines()) == 2
