"""Which proposals are answered with PREPARE, and which with nil (rules P14, P21-P23, P44)."""

from dataclasses import replace

import pytest

from consensus.acts import latest_time_ms
from consensus.effects import (
    EntryProofReceived,
    ProposalReceived,
    Publish,
    TimerKind,
)
from consensus.messages import VoteMessage
from ledger.certificates import make_certificate
from ledger.records import FRESH, NIL, block_id
from tests.support.consensus.bench import COMMIT, NOW_MS, PREPARE, Bench, started


def test_no_proposal_in_time_is_answered_with_nil() -> None:
    """Rules P21 and P30, and P11: in view 0 the wait begins with the HAVEs of a quorum."""
    bench = started()
    one, two, three = bench.others

    bench.have(one)
    bench.have(two)
    early = bench.timers()
    bench.have(three)
    late = bench.timers()
    lines = bench.fire(TimerKind.PROPOSE)

    assert (TimerKind.PROPOSE, 0) not in early
    assert late[TimerKind.PROPOSE, 0] == bench.contract.timeouts.propose_ms
    assert lines == ("persist", "PREPARE 0 nil")


def test_a_fresh_proposal_is_refused_when_locked_on_another_block() -> None:
    """Rule P22: locked in view 0 on A, a fresh B in view 1 is answered with nil at once."""
    bench = started()
    a, b = bench.block("A"), bench.block("B", view=1)
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))
    bench.votes(COMMIT, 0, NIL)

    lines = bench.propose(b, 1)

    assert lines == ("persist", "PREPARE 1 nil")
    assert "locked on another block in view 0" in published_vote(bench).reason


def published_vote(bench: Bench) -> VoteMessage:
    messages = [each.message for each in bench.effects if isinstance(each, Publish)]
    return next(each for each in messages if isinstance(each, VoteMessage))


def test_a_block_offered_again_with_a_later_certificate_breaks_the_lock() -> None:
    """Rule P23: locked on A in view 0, B with a certificate of view 1 >= 0 is prepared."""
    bench = started()
    a, b = bench.block("A"), bench.block("B", view=1)
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))
    bench.votes(COMMIT, 0, NIL)
    bench.votes(COMMIT, 1, NIL)
    certificate = bench.certificate(PREPARE, 1, block_id(b.header))

    offered = bench.propose(b, 2, certificate)
    checked = bench.check(b)

    assert offered == ("check B",)
    assert checked == ("save B", "persist", "PREPARE 2 B valid 1")


def test_a_block_offered_again_with_an_older_certificate_does_not_break_the_lock() -> None:
    """Rule P23: locked on B in view 1, A with a certificate of view 0 < 1 is refused."""
    bench = started()
    a, b = bench.block("A"), bench.block("B", view=1)
    old = bench.certificate(PREPARE, 0, block_id(a.header))
    bench.votes(COMMIT, 0, NIL)
    bench.propose_and_check(b, 1)
    bench.votes(PREPARE, 1, block_id(b.header))
    bench.votes(COMMIT, 1, NIL)

    lines = bench.propose(a, 2, old)

    assert lines == ("persist", "PREPARE 2 nil")


@pytest.mark.parametrize(("valid_view", "answer"), [(0, "nil"), (1, "B valid 1")])
def test_a_certificate_must_be_of_the_lock_s_view_or_later(valid_view: int, answer: str) -> None:
    """Rule P23: `locked_view <= valid_view`, equality included."""
    bench = started()
    a, b = bench.block("A", view=1), bench.block("B", is_other=True)
    bench.votes(COMMIT, 0, NIL)
    bench.propose_and_check(a, 1)
    bench.votes(PREPARE, 1, block_id(a.header))
    bench.votes(COMMIT, 1, NIL)

    lines = bench.propose(b, 2, bench.certificate(PREPARE, valid_view, block_id(b.header)))
    lines += bench.check(b)

    assert [line for line in lines if line.startswith("PREPARE")] == [f"PREPARE 2 {answer}"]


def test_a_block_offered_again_without_a_certificate_is_no_proposal() -> None:
    """Rule P23: a PREPARE quorum of the valid view must stand behind it."""
    bench = started()
    a = bench.block("A")
    bench.votes(COMMIT, 0, NIL)
    certificate = bench.certificate(PREPARE, 0, block_id(a.header))
    forged = replace(certificate, signatures=(bytes(64),) * 3)

    lines = bench.propose(a, 1, forged)

    assert lines == ("notice", "notice")
    assert bench.engine.view == 1


def test_a_fresh_proposal_must_be_created_in_its_view() -> None:
    """Rule P22: what was created earlier needs a certificate (P23)."""
    bench = started()
    a = bench.block("A")
    bench.votes(COMMIT, 0, NIL)
    proposal = replace(bench.signed_proposal(a, 1).statement, valid_view=FRESH)
    signed = bench.sign(proposal, bench.order[1])

    lines = bench.step(ProposalReceived(proposal=bench.verified(signed), block=a, certificate=None))

    assert lines == ("check A", "persist", "PREPARE 1 nil")


def test_a_proposal_by_a_member_that_does_not_lead_is_dropped() -> None:
    """Rule P44."""
    bench = started()
    a = bench.block("A")
    proposal = bench.signed_proposal(a, 0).statement
    stranger = bench.sign(proposal, bench.order[1])

    lines = bench.step(
        ProposalReceived(proposal=bench.verified(stranger), block=a, certificate=None)
    )

    assert lines == ("notice",)


@pytest.mark.parametrize(
    ("ahead_ms", "answer"), [(10_000, "PREPARE 0 A"), (10_001, "PREPARE 0 nil")]
)
def test_the_time_of_a_fresh_proposal_may_be_a_window_ahead(ahead_ms: int, answer: str) -> None:
    """Rule P14: the contract's window in view 0."""
    bench = started()
    a = bench.block("A")
    bench.now_ms = a.header.time_ms - ahead_ms

    lines = bench.propose_and_check(a)

    assert answer in lines


def test_the_clock_window_grows_with_the_view_and_never_refuses_parent_plus_one() -> None:
    """Rule P14: no skew can refuse every proposal for ever."""
    bench = started()
    desk = bench.engine._desk
    bench.step(EntryProofReceived(height=bench.height, view=0, votes=()))

    first = latest_time_ms(desk)
    bench.votes(COMMIT, 0, NIL)
    second = latest_time_ms(desk)
    desk.now_ms = 0
    desk.state = replace(desk.state, time_ms=10**15)

    assert first == NOW_MS + 10_000
    assert second == NOW_MS + 15_000
    assert latest_time_ms(desk) == 10**15 + 1


def test_the_time_of_a_block_offered_again_is_not_questioned() -> None:
    """Rule P23: valid except for time."""
    bench = started()
    a = bench.block("A")
    bench.now_ms = 0
    bench.votes(COMMIT, 0, NIL)
    certificate = bench.certificate(PREPARE, 0, block_id(a.header))

    bench.propose(a, 1, certificate)
    lines = bench.check(a)

    assert "PREPARE 1 A valid 0" in lines


def test_a_block_that_breaks_a_rule_of_the_ledger_is_answered_with_nil_and_never_recomputed() -> (
    None
):
    """Rules P13, P22: bodies are fetched and aggregated for blocks only that are sound."""
    bench = started()
    block = bench.block("A")
    forged = replace(block, header=replace(block.header, state_root=bytes(32)))

    lines = bench.propose(forged, 0)

    assert lines == ("notice", "persist", "PREPARE 0 nil")


def test_a_certificate_of_another_height_does_not_stand_behind_a_block() -> None:
    """Rule P23."""
    bench = started()
    a = bench.block("A")
    wanted = block_id(a.header)
    votes = [
        bench.sign(replace(bench.signed_vote(each, PREPARE, 0, wanted).statement, height=2), each)
        for each in bench.others
    ]
    bench.votes(COMMIT, 0, NIL)

    lines = bench.propose(a, 1, make_certificate(votes, bench.state.validators))

    assert lines == ("notice",)
