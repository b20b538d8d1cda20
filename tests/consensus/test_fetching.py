"""Blocks that a certificate names and this node lacks are asked for until they are here (P33)."""

from consensus.effects import TimerKind
from ledger.records import block_id
from tests.support.consensus.bench import COMMIT, PREPARE, Bench


def test_a_block_is_asked_for_again_although_its_certificate_is_of_a_later_view_by_now() -> None:
    """The request was lost, and meanwhile a quorum prepared the same block in the next view."""
    bench = Bench()
    bench.start()
    wanted = block_id(bench.block("A").header)
    bench.certify(bench.certificate(PREPARE, 0, wanted))
    bench.certify(bench.certificate(PREPARE, 1, wanted, valid_view=0))

    again = bench.fire(TimerKind.FETCH, 1)

    second = bench.others[1]
    assert again == (f"to {second}: ask {second} for a block",)
    assert (TimerKind.FETCH, 2) in bench.timers()


def test_a_block_that_two_certificates_name_is_asked_for_once_at_a_time() -> None:
    bench = Bench()
    bench.start()
    wanted = block_id(bench.block("A").header)
    bench.certify(bench.certificate(PREPARE, 0, wanted))
    bench.certify(bench.certificate(COMMIT, 0, wanted))

    again = bench.fire(TimerKind.FETCH, 1)

    assert len(again) == 1
