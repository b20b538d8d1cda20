"""What a member that is behind is sent: stored bytes, as many as one packet carries (P35, P80)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from consensus.messages import SYNC_BLOCKS_MAX, BlocksMessage, CertificateMessage
from fednode.block_answers import BlockAnswers
from fednode.journal import Journal
from fednode.outbox import Outbox
from fednode.wire.messages import encode_plaintext
from ledger.store import Ledger
from tests.support.ledger import Chain, stub_chain
from tests.support.network import HeightWatch
from tests.support.store import filled

OTHER = 1


class Sent(Outbox):
    """Remembers answers; as large a packet as a test says."""

    def __init__(self, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self.sent: list[tuple[int, bytes]] = []
        self.is_waiting = False

    @property
    @override
    def room_bytes(self) -> int:
        return self._room_bytes

    @override
    def send_encoded(self, member: int, plaintext: bytes) -> None:
        self.sent.append((member, plaintext))

    @override
    def send_blocks(self, member: int, plaintext: bytes) -> None:
        self.sent.append((member, plaintext))

    @override
    def has_blocks_for(self, member: int) -> bool:
        return self.is_waiting and member == OTHER


@pytest.fixture(scope="module")
def made() -> Chain:
    return stub_chain(SYNC_BLOCKS_MAX + 6)


@pytest.fixture
def ledger(made: Chain, tmp_path: Path) -> Iterator[Ledger]:
    with filled(tmp_path, made) as ledger:
        yield ledger


def blocks(chain: Chain, first: int, last: int) -> bytes:
    """The answer, from records."""
    certificate = chain.certificates[last - 1]
    message = BlocksMessage(blocks=tuple(chain.blocks[first - 1 : last]), certificate=certificate)
    return encode_plaintext(message)


def answers(ledger: Ledger, box: Sent, tmp_path: Path) -> tuple[BlockAnswers, HeightWatch]:
    watch = HeightWatch()
    journal = Journal(events=watch, contradictions=tmp_path / "contradictions.jsonl")
    return BlockAnswers(ledger, box, journal), watch


@pytest.mark.parametrize(("first", "last"), [(1, SYNC_BLOCKS_MAX), (60, 70), (70, 70)])
def test_an_answer_is_the_message_of_up_to_64_blocks_and_the_last_ones_certificate(
    made: Chain, ledger: Ledger, tmp_path: Path, first: int, last: int
) -> None:
    box = Sent(2**24)

    answers(ledger, box, tmp_path)[0].send_blocks(OTHER, first)

    assert box.sent == [(OTHER, blocks(made, first, last))]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 15), (1, 16), (3, 20)])
def test_an_answer_has_as_many_blocks_as_fit_a_packet(
    made: Chain, ledger: Ledger, tmp_path: Path, first: int, last: int
) -> None:
    """Rule P80: at most a few bytes of a packet are left when another block would not fit."""
    size = len(blocks(made, first, last))
    slack = 5
    just, too_small = Sent(size + slack), Sent(size - 1)

    answers(ledger, just, tmp_path)[0].send_blocks(OTHER, first)
    answers(ledger, too_small, tmp_path)[0].send_blocks(OTHER, first)

    assert just.sent == [(OTHER, blocks(made, first, last))]
    assert too_small.sent == ([(OTHER, blocks(made, first, last - 1))] if last > first else [])


def test_nothing_is_decoded_to_answer(
    made: Chain, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule P37: whoever asks must not cost the time that votes need."""
    box = Sent(2**24)
    monkeypatch.setattr(Ledger, "_decode", lambda *_: pytest.fail("a record was decoded"))
    able, _ = answers(ledger, box, tmp_path)

    able.send_blocks(OTHER, 1)
    able.send_certificate(OTHER, 3)

    certificate = encode_plaintext(CertificateMessage(certificate=made.certificates[2]))
    assert box.sent == [(OTHER, blocks(made, 1, SYNC_BLOCKS_MAX)), (OTHER, certificate)]


def test_a_member_whose_last_answer_still_waits_gets_no_other(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule P80; and nothing is read for it."""
    box = Sent(2**24)
    box.is_waiting = True
    monkeypatch.setattr(Ledger, "encoded_block", lambda *_: pytest.fail("a block was read"))

    answers(ledger, box, tmp_path)[0].send_blocks(OTHER, 1)

    assert box.sent == []


def test_a_block_that_does_not_fit_a_packet_is_an_error_that_people_see(
    ledger: Ledger, tmp_path: Path
) -> None:
    able, watch = answers(ledger, Sent(64), tmp_path)

    able.send_blocks(OTHER, 1)

    (told,) = [fields["text"] for kind, fields in watch.events if kind == "error"]
    assert str(told).startswith("height=1 member=1: cannot send this block: it is above the packet")
