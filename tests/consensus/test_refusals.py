"""What an engine cannot use, or its signer refuses, changes nothing and stops nothing."""

import pytest

from consensus import acts, rules
from consensus.effects import (
    BlockBuilt,
    BlockChecked,
    Publish,
    StatementsRequested,
    Timer,
    TimerFired,
    TimerKind,
)
from consensus.engine import Engine
from consensus.judging import MetricsReceived
from consensus.line_inputs import Reconnected
from consensus.messages import StatementsRequest
from consensus.record import Step
from ledger.records import FRESH, NIL, block_id
from tests.support.consensus.bench import COMMIT, PREPARE, Bench, equal_contract, started
from tests.support.feedback import report, with_feedback
from tests.support.ledger import STUB_SCHEME, digest, stub_chain

FINISHED = 2


def observing() -> Bench:
    """A bench whose engine belongs to nobody and has started."""
    bench = Bench()
    bench.engine = Engine(
        contract=bench.contract,
        state=bench.state,
        tip_certificate=None,
        member=None,
        signer=None,
        scheme=STUB_SCHEME,
    )
    bench.start()
    return bench


def finished() -> Bench:
    """A bench at the end of a chain: no height is in work."""
    of = with_feedback(equal_contract(training_rounds=FINISHED), range(3))
    made = stub_chain(FINISHED, of=of)
    made.add(made.build())
    bench = Bench(chain=made, member=0)
    bench.start()
    assert bench.engine.is_finished
    return bench


# --- The signer has the last word ---------------------------------------------------------------


def locked() -> tuple[Bench, rules.Facts]:
    """A bench whose engine has locked A in view 0, and is in view 1."""
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))
    bench.votes(COMMIT, 0, NIL)
    height = bench.engine._height
    assert height is not None
    return bench, height.facts


def said(bench: Bench) -> list[str]:
    """What the engine's desk wants to be done now, without timers and progress."""
    shown = (bench.shown(each) for each in bench.engine._desk.take())
    return [line for line in shown if line]


def test_a_prepare_against_the_lock_is_not_said_whatever_a_rule_wants() -> None:
    """Rules P22, P60: the node goes on as if it had voted, so that the rules do not try again."""
    bench, facts = locked()
    desk = bench.engine._desk
    wanted = rules.Prepare(block_id=digest("other"), valid_view=FRESH, reason="")

    acts.perform(wanted, facts, desk)

    assert said(bench) == ["notice"]
    assert (desk.record.view, desk.record.step) == (1, Step.PREPARE)


def test_a_second_commit_in_a_view_is_not_said_whatever_a_rule_wants() -> None:
    """Rules P25, P60."""
    bench = started()
    bench.fire(TimerKind.PROPOSE)
    bench.fire(TimerKind.PREPARE)
    bench.votes(PREPARE, 0, NIL, members=bench.others[:2])
    height, desk = bench.engine._height, bench.engine._desk
    assert height is not None
    assert desk.record.step is Step.COMMIT

    acts.perform(rules.Commit(digest("other")), height.facts, desk)

    assert said(bench) == ["notice"]
    assert desk.record.lock is None


def test_a_second_proposal_in_a_view_is_not_said_whatever_a_rule_wants() -> None:
    """Rules P20, P60."""
    bench = started(leads=0)
    a, b = bench.block("A"), bench.block("B", is_other=True)
    bench.hold(*bench.others)
    for other in bench.others:
        bench.have(other, bench.others)
    bench.fire(TimerKind.HAVE_GRACE)
    first = bench.step(BlockBuilt(height=1, view=0, block=a))
    height, desk = bench.engine._height, bench.engine._desk
    assert height is not None

    acts.propose_fresh(b, height.facts, desk)

    assert "PROPOSAL 0 A" in first
    assert said(bench) == ["notice"]


def test_who_voted_nil_and_learns_of_the_decision_says_no_second_commit() -> None:
    """Rules P40, P60: it is no fault either, so nobody is told."""
    bench = started()
    a = bench.block("A")
    bench.propose(a, 0)
    bench.votes(PREPARE, 0, NIL)
    step = bench.engine._desk.record.step

    lines = bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    assert step is Step.COMMIT
    assert lines[0] == "commit A"
    assert "notice" not in lines
    assert not any(line.startswith("COMMIT") for line in lines)


# --- An observer has no key ---------------------------------------------------------------------


def test_an_observer_waits_for_a_decided_block_that_it_cannot_ask_for() -> None:
    """Rule P28: requests are signed; the block comes when its proposal is said again."""
    bench = observing()
    a = bench.block("A")

    decided = bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))
    offered = bench.propose(a, 0)

    assert decided == ()
    assert offered[0] == "commit A"


def test_an_observer_answers_no_question_and_asks_nobody() -> None:
    """Rules P60, P80: what it said would carry no signature."""
    bench = observing()
    request = bench.sign(StatementsRequest(height=1, counter=1), 1)

    answered = bench.step(StatementsRequested(request=bench.verified(request)))
    for _ in range(9):
        bench.fire(TimerKind.REBROADCAST)

    assert answered == ()
    assert [each for each in bench.history if isinstance(each, Publish)] == []


# --- Without a height in work -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TimerKind.COLLECT, TimerKind.PROPOSE, TimerKind.COMMIT])
def test_a_timer_after_the_end_of_the_chain_is_ignored(kind: TimerKind) -> None:
    """Rule P15."""
    bench = finished()
    timer = Timer(kind=kind, height=bench.engine.height, view=0)

    assert bench.step(TimerFired(timer=timer)) == ()


def test_what_the_host_worked_out_for_a_height_that_is_over_is_ignored() -> None:
    """Rules P13, P15."""
    bench = finished()
    a = bench.block("A")
    checked = BlockChecked(height=1, block_id=digest("some"), is_valid=False, reason="late")

    assert bench.step(checked) == ()
    assert bench.step(BlockBuilt(height=bench.height, view=0, block=a)) == ()


def test_figures_that_come_after_the_end_of_the_chain_open_nothing() -> None:
    """Rules P15, P16."""
    bench = finished()
    metrics = report(bench.chain, 1, value=7)

    lines = bench.step(MetricsReceived(metrics=bench.verified(metrics)))

    assert lines == ()
    assert bench.engine.is_finished


def test_who_is_asked_after_the_end_of_the_chain_shows_what_it_keeps_of_the_asker() -> None:
    """Rule P60: no height is in work, so there are figures at most."""
    bench = finished()
    one = bench.others[0]
    request = bench.sign(StatementsRequest(height=bench.height, counter=1), one)

    lines = bench.step(StatementsRequested(request=bench.verified(request)))

    assert lines == (f"to {one}: show {one} its statements",)


def test_a_connection_before_the_start_of_a_new_chain_has_no_decision_to_repeat() -> None:
    """Rule P35."""
    bench = Bench()

    lines = bench.step(Reconnected())

    assert not any(line.startswith("certificate") for line in lines)


def test_the_timer_of_a_question_that_is_answered_asks_nothing_again() -> None:
    """Rules P37, P60."""
    bench = started()

    assert bench.fire(TimerKind.ASK) == ()
