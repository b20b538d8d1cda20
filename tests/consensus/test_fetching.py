"""Blocks that a certificate names and this node lacks are asked for until they are here (P33)."""

from consensus.effects import Started, TimerKind
from ledger.genesis import Role
from ledger.records import block_id
from tests.support.consensus.bench import COMMIT, PREPARE, Bench, equal_contract
from tests.support.ledger import stub_chain, with_roles


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


def test_a_member_without_a_vote_fetches_no_bodies_and_decides_all_the_same() -> None:
    """Rule P28: the block suffices. Bodies are for those who vote on it or may offer it."""
    of = with_roles(equal_contract(5), {4: Role.TRAINER})
    bench = Bench(chain=stub_chain(0, of=of), member=4)
    bench.start()
    a = bench.block("A")
    wanted = block_id(a.header)
    voters = bench.state.validators.members

    offered = bench.propose(a, 0) + bench.votes(PREPARE, 0, wanted, members=voters)
    decided = bench.votes(COMMIT, 0, wanted, members=voters)

    assert offered == ()
    assert decided[0] == "commit A"


def test_a_block_that_only_this_member_signed_is_asked_of_nobody_and_the_view_goes_on() -> None:
    """Rules P33, P60: the only validator has lost its folder, and with it what it prepared."""
    of = with_roles(equal_contract(2), {1: Role.TRAINER})
    bench = Bench(chain=stub_chain(0, of=of), member=0)
    bench.step(Started())
    wanted = block_id(bench.block("A").header)
    bench.certify(bench.certificate(PREPARE, 0, wanted, members=(0,)))

    lines = bench.answer([1])
    late = bench.fire(TimerKind.PREPARE)

    assert not any("for a block" in line for line in lines)
    assert "COMMIT 0 nil" in late
    assert bench.engine.view == 1
