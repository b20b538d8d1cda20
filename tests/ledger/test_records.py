"""Records refuse what contradicts itself (sections 2 and 6 of the protocol)."""

import pytest

from ledger.errors import DecodeError
from ledger.records import (
    FRESH,
    NIL,
    HaveEntry,
    HaveList,
    Phase,
    Proposal,
    QuorumCertificate,
    Vote,
    block_id,
    header_digest,
)
from ledger.tensors import TensorSpec
from tests.support.ledger import digest, stub_chain

BLOCK = digest("block")


def entry(trainer: int) -> HaveEntry:
    return HaveEntry(trainer=trainer, header_digest=BLOCK)


@pytest.mark.parametrize("trainers", [(1, 1), (2, 1), (0, 3, 2)])
def test_have_entries_ascend_strictly_by_trainer(trainers: tuple[int, ...]) -> None:
    """Rule P11: one entry per trainer."""
    with pytest.raises(DecodeError, match="HAVE entries in strictly ascending member order"):
        HaveList(height=1, entries=tuple(entry(each) for each in trainers))


@pytest.mark.parametrize(("view", "valid_view"), [(0, 0), (3, 3), (3, 4), (3, -2)])
def test_a_proposal_was_valid_before_its_view_or_never(view: int, valid_view: int) -> None:
    with pytest.raises(DecodeError, match=f"got {valid_view}"):
        Proposal(height=1, view=view, valid_view=valid_view, block_id=BLOCK)
    assert Proposal(height=1, view=view, valid_view=FRESH, block_id=BLOCK).valid_view == FRESH


@pytest.mark.parametrize(
    ("phase", "valid_view", "target"),
    [
        (Phase.COMMIT, 0, BLOCK),
        (Phase.COMMIT, 0, NIL),
        (Phase.PREPARE, 0, NIL),
        (Phase.PREPARE, 3, BLOCK),
        (Phase.PREPARE, -2, BLOCK),
    ],
)
def test_only_a_prepare_for_a_block_has_a_valid_view(
    phase: Phase, valid_view: int, target: bytes
) -> None:
    """Rule P34: all that vote for the same write the same bytes."""
    with pytest.raises(DecodeError, match=f"expected a valid_view in -1.*got {valid_view}"):
        Vote(phase=phase, height=1, view=3, valid_view=valid_view, block_id=target)
    with pytest.raises(DecodeError, match=f"expected a valid_view in -1.*got {valid_view}"):
        QuorumCertificate(
            phase=phase,
            height=1,
            view=3,
            valid_view=valid_view,
            block_id=target,
            bitmap=b"\1",
            signatures=(bytes(64),),
        )


def test_a_prepare_for_a_block_may_name_any_earlier_view() -> None:
    views = [
        Vote(phase=Phase.PREPARE, height=1, view=3, valid_view=view, block_id=BLOCK).valid_view
        for view in range(-1, 3)
    ]

    assert views == [-1, 0, 1, 2]


def test_bits_of_a_certificate_are_positions_lowest_first() -> None:
    certificate = QuorumCertificate(
        phase=Phase.COMMIT,
        height=1,
        view=0,
        valid_view=FRESH,
        block_id=BLOCK,
        bitmap=bytes([0b10000001, 0b10]),
        signatures=(bytes(64),) * 3,
    )

    assert certificate.positions == (0, 7, 9)


@pytest.mark.parametrize(("shape", "size"), [((), 1), ((3,), 3), ((2, 3, 4), 24), ((5, 0), 0)])
def test_a_tensor_has_the_product_of_its_shape(shape: tuple[int, ...], size: int) -> None:
    assert TensorSpec(name="w", shape=shape, exponent=16).size == size


def test_ids_differ_between_chains_and_blocks() -> None:
    made = stub_chain(2)
    header = made.blocks[0].updates[0].statement

    assert block_id(made.blocks[0].header) != block_id(made.blocks[1].header)
    assert header_digest(header, digest("a")) != header_digest(header, digest("b"))
