"""How a node comes to a later view, and proves that it may be there (rules P27-P35)."""

from consensus.effects import (
    EntryProofReceived,
    Persist,
    TimerKind,
)
from consensus.record import SlotKind
from ledger.records import NIL
from tests.support.consensus.bench import COMMIT, PREPARE, started


def test_mixed_commits_of_a_quorum_start_one_timer_and_then_the_next_view() -> None:
    """Rules P27 and P30."""
    bench = started()
    one, two, three = bench.others

    bench.vote(one, COMMIT, 0, NIL)
    bench.vote(two, COMMIT, 0, NIL)
    bench.vote(three, COMMIT, 0, bytes(32))
    timers = bench.timers()
    bench.fire(TimerKind.COMMIT)

    assert timers[TimerKind.COMMIT, 0] == bench.contract.timeouts.commit_ms
    assert bench.engine.view == 1
    assert bench.timers()[TimerKind.PROPOSE, 1] == bench.contract.timeouts.propose_ms * 3 // 2


def test_a_quorum_of_commit_nil_enters_the_next_view_at_once() -> None:
    """Rule P32, of a later view too (P29)."""
    bench = started()

    bench.votes(COMMIT, 0, NIL)
    first = bench.engine.view
    bench.votes(COMMIT, 1, NIL)

    assert (first, bench.engine.view) == (1, 2)


def test_blocking_power_in_later_views_is_followed_to_the_lowest_of_them() -> None:
    """Rule P29: one member alone moves nobody; two of four do, to the view both have reached."""
    bench = started()
    one, two, _ = bench.others

    bench.vote(one, PREPARE, 7, NIL)
    alone = bench.engine.view
    bench.vote(two, COMMIT, 4, bytes(32))

    assert (alone, bench.engine.view) == (0, 4)


def test_a_proposal_counts_as_being_in_its_view() -> None:
    """Rule P29: PREPARE, COMMIT or PROPOSAL."""
    bench = started(leads=3)
    b = bench.block("B", view=2)
    voter = next(each for each in bench.others if each != bench.order[2])

    bench.vote(voter, PREPARE, 2, NIL)
    lines = bench.propose(b, 2)

    assert bench.engine.view == 2
    assert lines == ("check B",)


def test_commits_of_a_later_view_act_as_in_that_view() -> None:
    """Rules P27 and P29: a mixed COMMIT quorum of view 3 starts the timer of view 3."""
    bench = started()
    one, two, three = bench.others

    bench.vote(one, COMMIT, 3, NIL)
    bench.vote(two, COMMIT, 3, bytes(32))
    bench.vote(three, COMMIT, 3, NIL)
    timers = bench.timers()
    bench.fire(TimerKind.COMMIT, 3)

    assert (TimerKind.COMMIT, 3) in timers
    assert bench.engine.view == 4


def test_the_entry_proof_is_in_the_record_before_anything_is_signed_in_the_view() -> None:
    """Rules P35 and P60: after P32 it is the COMMIT quorum of the view before."""
    bench = started()
    bench.votes(COMMIT, 0, NIL)

    bench.fire(TimerKind.PROPOSE, 1)

    persisted = next(each for each in bench.effects if isinstance(each, Persist))
    assert persisted.record.view == 1
    assert {vote.signer for vote in persisted.record.entry_proof} == set(bench.others)
    assert persisted.record.slot(SlotKind.PREPARE) is not None


def test_after_a_skip_the_entry_proof_is_what_led_there_until_the_quorum_is_held() -> None:
    """Rules P29 and P35."""
    bench = started()
    one, two, three = bench.others
    bench.vote(one, PREPARE, 2, NIL)
    bench.vote(two, PREPARE, 2, NIL)
    led = bench.engine._desk.record.entry_proof
    bench.votes(COMMIT, 1, NIL)
    bench.fire(TimerKind.REBROADCAST)
    bench.fire(TimerKind.REBROADCAST)
    better = bench.engine._desk.record.entry_proof

    assert {(vote.signer, vote.statement.view) for vote in led} == {(one, 2), (two, 2)}
    assert {(vote.signer, vote.statement.view) for vote in better} == {
        (one, 1),
        (two, 1),
        (three, 1),
    }


def test_votes_in_an_entry_proof_are_counted_like_any_others() -> None:
    """Rule P35."""
    bench = started()
    votes = tuple(bench.verified(bench.signed_vote(m, COMMIT, 3, NIL)) for m in bench.others)

    bench.step(EntryProofReceived(height=bench.height, view=4, votes=votes))

    assert bench.engine.view == 4
