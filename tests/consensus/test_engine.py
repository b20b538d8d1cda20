"""From height to height: restart, rebroadcast, late votes, the end (P15, P35-P40, P60, P82)."""

from dataclasses import replace

import pytest

from consensus.effects import (
    BlockBuilt,
    Persist,
    ProposalReceived,
    Started,
    Timer,
    TimerFired,
    TimerKind,
    VoteReceived,
)
from consensus.engine import Engine
from consensus.later import NEXT_HEIGHT_INPUTS_PER_MEMBER
from consensus.line_inputs import Reconnected
from consensus.past import CERTIFICATES_PER_PERIOD
from consensus.record import INITIAL_RECORD, Step
from ledger.certificates import signers
from ledger.records import NIL, block_id
from tests.support.consensus.bench import (
    ASKS,
    COMMIT,
    NOW_MS,
    PREPARE,
    Bench,
    equal_chain,
    equal_contract,
    started,
)
from tests.support.ledger import STUB_SCHEME, commits, digest, stub_chain


def test_a_restart_republishes_what_was_signed_and_signs_nothing_else() -> None:
    """Rules P60 and P82: at the record's view and step."""
    bench = started()
    a = bench.block("A", listing=bench.others)
    bench.hold(bench.member)
    bench.fire(TimerKind.COLLECT)
    bench.propose_and_check(a)

    lines = bench.restart()

    assert set(lines) == {"UPDATE 1", "HAVE 1", "PREPARE 0 A", "STATUS 0"}
    assert bench.engine._desk.record.step is Step.PREPARE
    assert bench.propose(a, 0) == ()


def test_a_restart_after_the_lock_still_commits_and_decides() -> None:
    """Rule P60: block, certificate and lock are durable before the COMMIT leaves."""
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))

    lines = bench.restart()
    decided = bench.votes(COMMIT, 0, block_id(a.header))

    assert set(lines) == {
        "PREPARE 0 A",
        "COMMIT 0 A",
        "certificate PREPARE 0 A",
        "train 1",
        "STATUS 0",
    }
    assert "commit A" in decided


def test_a_restarted_proposer_publishes_its_proposal_again_and_builds_nothing() -> None:
    """Rule P60: the block was durable before the proposal left."""
    bench = started(leads=0)
    a = bench.block("A")
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))
    bench.step(BlockBuilt(height=1, view=0, block=a))

    lines = bench.restart()
    more = tuple(line for each in bench.others for line in bench.have(each, (0, 1, 2, 3)))

    assert "PROPOSAL 0 A" in lines
    assert "PREPARE 0 A" in lines
    assert not any(line.startswith("build") for line in lines + more)


def test_a_proposal_that_was_saved_but_not_signed_durably_is_signed_again() -> None:
    """Rule P60: a crash between saving the block and the record."""
    bench = started(leads=0)
    a = bench.block("A")
    bench.saved.append((bench.signed_proposal(a, 0), a))

    lines = bench.restart()

    assert "PROPOSAL 0 A" in lines
    assert lines.index("persist") < lines.index("PROPOSAL 0 A")


def test_a_proposal_of_a_later_view_than_the_record_is_signed_again_and_sent() -> None:
    """Rule P60: entering a view makes nothing durable, so the record may be in an earlier one."""
    bench = started(leads=1)
    a = bench.block("A", view=1)
    bench.saved.append((bench.signed_proposal(a, 1), a))

    bench.restart()
    lines = bench.votes(COMMIT, 0, NIL)
    bench.fire(TimerKind.REBROADCAST)
    repeated = bench.fire(TimerKind.REBROADCAST)

    assert lines == ("persist", "PREPARE 1 A")
    assert "PROPOSAL 1 A" in repeated


def test_a_restart_in_a_later_view_keeps_its_entry_proof() -> None:
    """Rules P35, P60."""
    bench = started()
    bench.votes(COMMIT, 0, NIL)
    bench.fire(TimerKind.PROPOSE, 1)

    lines = bench.restart()
    liar = bench.others[0]
    contradiction = bench.vote(liar, COMMIT, 0, bytes(32))

    assert bench.engine.view == 1
    assert "entry proof 1 of 3" in lines
    assert contradiction == (f"contradiction {liar}", f"EVIDENCE {liar}")


def test_a_restart_starts_the_timers_anew() -> None:
    """Rule P60: a resumed step starts its timer anew."""
    bench = started()
    bench.votes(COMMIT, 0, NIL)
    bench.fire(TimerKind.PROPOSE, 1)
    bench.votes(PREPARE, 1, bytes(32), members=bench.others[:2])

    bench.restart()
    kinds = {kind for kind, _ in bench.timers()}
    bench.votes(PREPARE, 1, bytes(32), members=bench.others[:2])

    assert kinds == {TimerKind.COLLECT, TimerKind.REBROADCAST, TimerKind.ASK}
    assert (TimerKind.PREPARE, 1) in bench.timers()


def test_a_statement_under_the_own_key_that_the_record_lacks_stops_the_process() -> None:
    """Rule P60: a cloned key, or a folder restored from an old copy."""
    bench = started()
    foreign = bench.signed_vote(bench.member, PREPARE, 0, digest("elsewhere"))

    lines = bench.step(VoteReceived(vote=bench.verified(foreign)))

    assert lines == ("halt",)


def test_the_echo_of_an_own_statement_is_nothing() -> None:
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    own = bench.signed_vote(bench.member, PREPARE, 0, block_id(a.header))

    assert bench.step(VoteReceived(vote=bench.verified(own))) == ()


def test_a_node_whose_ledger_is_behind_its_record_follows_and_signs_nothing() -> None:
    """Rule P60: never go back, whatever happened to the ledger."""
    bench = Bench(record=replace(INITIAL_RECORD, height=5))

    started_lines = bench.start()
    a = bench.block("A")
    voted = bench.propose_and_check(a) + bench.fire(TimerKind.COLLECT)
    decided = bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    assert started_lines[0] == "error"
    assert voted == ()
    assert "commit A" in decided
    assert not any(isinstance(effect, Persist) for effect in bench.history)


def test_while_in_a_view_everything_is_said_again_each_period() -> None:
    """Rule P35."""
    bench = started()
    a = bench.block("A", listing=bench.others)
    bench.hold(bench.member)
    bench.fire(TimerKind.COLLECT)
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))

    first = bench.fire(TimerKind.REBROADCAST)
    again = bench.fire(TimerKind.REBROADCAST)

    assert first == ("STATUS 0",)
    assert bench.timers() == {(TimerKind.REBROADCAST, 0): bench.contract.timeouts.rebroadcast_ms}
    assert again == (
        "STATUS 0",
        "UPDATE 1",
        "HAVE 1",
        "PREPARE 0 A",
        "COMMIT 0 A",
        "certificate PREPARE 0 A",
    )


def test_a_vote_for_a_decided_height_is_answered_with_its_certificate_once_a_period() -> None:
    """Rule P35."""
    bench = started(chain=equal_chain(12))
    one = bench.others[0]

    def late(height: int) -> tuple[str, ...]:
        statement = replace(bench.signed_vote(one, PREPARE, 0, NIL).statement, height=height)
        return bench.step(VoteReceived(vote=bench.verified(bench.sign(statement, one))))

    first, second = late(3), late(3)
    many = [late(height) for height in range(1, 13)]
    bench.fire(TimerKind.REBROADCAST)
    third = late(3)

    assert first == third == (f"answer certificate to {one} of 3",)
    assert second == ()
    assert sum(map(len, many)) == CERTIFICATES_PER_PERIOD - 1


def test_a_vote_that_was_on_its_way_is_answered_only_when_it_is_said_again() -> None:
    """Rule P35: its sender decides by the same votes a moment later, unless it lost some."""
    bench = started()
    a = bench.block("A")
    one, two, three = bench.others
    bench.propose_and_check(a)
    for member in (one, two):
        bench.vote(member, PREPARE, 0, block_id(a.header))
        bench.vote(member, COMMIT, 0, block_id(a.header))
    assert bench.engine.height == 2

    late = [bench.vote(three, phase, 0, block_id(a.header)) for phase in (PREPARE, COMMIT)]
    again = bench.vote(three, COMMIT, 0, block_id(a.header))
    known = bench.vote(one, PREPARE, 0, block_id(a.header))
    lagging = bench.vote(two, PREPARE, 1, NIL)

    assert late == [(), ()]
    assert again == (f"answer certificate to {three} of 1",)
    assert known == (f"answer certificate to {one} of 1",)
    assert lagging == (f"answer certificate to {two} of 1",)


def test_after_a_reconnect_everything_is_said_again_at_once() -> None:
    """Rule P91: what was sent meanwhile is lost."""
    bench = started()
    bench.hold(bench.member)
    bench.fire(TimerKind.COLLECT)

    lines = bench.step(Reconnected())

    assert lines == ("STATUS 0", "UPDATE 1", "HAVE 1")


def test_who_still_waits_for_answers_asks_again_after_a_reconnect() -> None:
    bench = Bench()
    bench.step(Started())

    assert ASKS in bench.step(Reconnected())


def test_late_commits_join_the_last_certificate_until_the_proposal() -> None:
    """Rule P40: by vote, and by the certificates of others."""
    built = equal_chain(1)
    block, certificate = built.blocks[0], built.certificates[0]
    first = replace(certificate, bitmap=bytes([0b0111]), signatures=certificate.signatures[:3])
    built.certificates[0] = first
    by_vote, by_certificate = started(chain=built), started(chain=built)
    fourth = commits(block, {3: built.keys[3]})[0]

    by_vote.step(VoteReceived(vote=by_vote.verified(fourth)))
    by_certificate.certify(certificate)

    for bench in (by_vote, by_certificate):
        tip = bench.engine._desk.tip_certificate
        assert tip is not None
        assert signers(tip, bench.state.previous_validators) == (0, 1, 2, 3)


def test_inputs_of_the_next_height_wait_and_are_bounded() -> None:
    """Rule P37."""
    bench = started()
    a = bench.block("A")
    one = bench.others[0]
    for view in range(100):
        vote = replace(bench.signed_vote(one, PREPARE, view, NIL).statement, height=2)
        bench.step(VoteReceived(vote=bench.verified(bench.sign(vote, one))))
    kept = bench.engine._later.size()

    bench.propose_and_check(a)
    bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    height = bench.engine._height
    assert kept == NEXT_HEIGHT_INPUTS_PER_MEMBER
    assert height is not None
    assert height.facts.tally.size() == 3
    assert bench.engine._later.size() == 0


def test_an_observer_follows_without_a_key() -> None:
    """A member that does not vote, or nobody at all, decides by certificate."""
    bench = started()
    a = bench.block("A")
    observer = Engine(
        contract=bench.contract,
        state=bench.state,
        tip_certificate=None,
        member=None,
        signer=None,
        scheme=STUB_SCHEME,
    )
    bench.engine = observer

    begun = bench.start()
    heard = bench.propose(a, 0)
    decided = bench.votes(COMMIT, 0, block_id(a.header))

    assert begun == ()
    assert heard == ()
    assert decided == ("commit A", "certificate COMMIT 0 A")
    assert (observer.height, observer.state.tip_id) == (2, block_id(a.header))


def test_a_finished_chain_answers_and_repeats_its_decision() -> None:
    """Rule P15."""
    built = stub_chain(2, of=equal_contract(training_rounds=2))
    bench = Bench(chain=built, member=0)

    lines = bench.start()
    repeated = bench.fire(TimerKind.REBROADCAST)
    vote = bench.step(VoteReceived(vote=bench.verified(bench.signed_vote(1, PREPARE, 0, NIL))))

    assert bench.engine.is_finished
    assert lines == ("STATUS 2",)
    assert repeated[0] == "STATUS 2"
    assert repeated[1].startswith("certificate COMMIT 0")
    assert vote == ()


@pytest.mark.parametrize("kind", [TimerKind.PROPOSE, TimerKind.COMMIT, TimerKind.FETCH])
def test_timers_of_other_heights_are_ignored(kind: TimerKind) -> None:
    bench = started(chain=equal_chain(2))
    lines = bench.step(TimerFired(timer=Timer(kind=kind, height=2, view=0)))

    assert lines == ()
    assert bench.now_ms == NOW_MS


def test_a_restart_counts_the_votes_in_its_prepare_certificate() -> None:
    """Rules P23, P60: a block offered again needs no second copy of the certificate."""
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))
    bench.restart()
    bench.votes(COMMIT, 0, NIL)
    proposal = replace(bench.signed_proposal(a, 1).statement, valid_view=0)
    signed = bench.sign(proposal, bench.order[1])

    lines = bench.step(ProposalReceived(proposal=bench.verified(signed), block=a, certificate=None))

    assert lines == ("persist", "PREPARE 1 A valid 0")


def test_the_haves_in_a_proposed_block_are_heard_too() -> None:
    """Rules P11, P35: whoever missed them by themselves has them from the block."""
    bench = started()
    a = bench.block("A")

    bench.propose(a, 0)

    assert (TimerKind.PROPOSE, 0) in bench.timers()
