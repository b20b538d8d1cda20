"""One engine, rule by rule: every input is crafted, every effect is compared (rules P20-P37)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from consensus.acts import latest_time_ms
from consensus.effects import (
    BlockBuilt,
    BuildBlock,
    EntryProofReceived,
    Halt,
    Notice,
    Persist,
    ProposalReceived,
    Publish,
    TimerKind,
)
from consensus.messages import ProposalMessage, VoteMessage
from consensus.record import SlotKind, Step
from ledger.records import FRESH, NIL, Block, Phase, block_id
from tests.support.consensus import COMMIT, NOW_MS, PREPARE, Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One line of a scenario: in English, what happens, and what it leads to."""

    desc: str
    do: Callable[[], tuple[str, ...]]
    effects: tuple[str, ...]
    step: Step | None = None
    view: int | None = None


def play(bench: Bench, turns: list[Turn]) -> None:
    for turn in turns:
        assert turn.do() == turn.effects, turn.desc
        record = bench.engine._desk.record
        if turn.step is not None:
            assert record.step is turn.step, turn.desc
        if turn.view is not None:
            assert record.view == turn.view, turn.desc


def started(leads: int = 3) -> Bench:
    bench = Bench(leads=leads)
    bench.start()
    return bench


def test_a_height_is_decided_in_three_steps() -> None:
    """Rules P22, P25, P28: PREPARE a good proposal, lock and COMMIT on a quorum, then decide."""
    bench = started()
    a = bench.block("A")
    one, two, three = bench.others

    play(
        bench,
        [
            Turn(
                desc="a proposal is checked before it is answered",
                do=lambda: bench.propose(a, 0),
                effects=("check A",),
                step=Step.PROPOSE,
            ),
            Turn(
                desc="it is good: the block is durable, then the vote leaves",
                do=lambda: bench.check(a),
                effects=("save A", "persist", "PREPARE 0 A"),
                step=Step.PREPARE,
            ),
            Turn(
                desc="one more PREPARE is no quorum",
                do=lambda: bench.vote(one, PREPARE, 0, block_id(a.header)),
                effects=(),
            ),
            Turn(
                desc="the third one is: lock and COMMIT, with the certificate",
                do=lambda: bench.vote(two, PREPARE, 0, block_id(a.header)),
                effects=("persist", "COMMIT 0 A", "certificate PREPARE 0 A"),
                step=Step.COMMIT,
            ),
            Turn(
                desc="two COMMITs are no quorum",
                do=lambda: bench.vote(one, COMMIT, 0, block_id(a.header)),
                effects=(),
            ),
            Turn(
                desc="three are: commit, publish the certificate, and begin the next height",
                do=lambda: bench.vote(three, COMMIT, 0, block_id(a.header)),
                effects=("commit A", "certificate COMMIT 0 A", "train 2"),
                step=Step.PROPOSE,
                view=0,
            ),
        ],
    )


def test_the_proposer_offers_a_fresh_block_of_the_haves_of_a_quorum() -> None:
    """Rules P20 and P12: it waits a little for more HAVEs, then builds and proposes."""
    bench = started(leads=0)
    trainers = (0, 1, 2, 3)
    one, two, three = bench.others
    bench.hold(*bench.others)

    first = bench.have(one, trainers)
    second = bench.have(two, trainers)
    quorum = bench.hold(bench.member)
    timers = bench.timers()
    over = bench.fire(TimerKind.HAVE_GRACE)
    build = bench.effects[0]
    assert isinstance(build, BuildBlock)
    a = bench.block("A")
    built = bench.step(built_from(bench, a))

    assert (first, second) == ((), ())
    assert quorum == ("persist", "UPDATE 1", "persist", "HAVE 4")
    assert timers[TimerKind.HAVE_GRACE, 0] == bench.contract.timeouts.have_grace_ms
    assert over == ("build AGGREGATE 0",)
    assert [have.signer for have in build.haves] == sorted([bench.member, one, two])
    assert [each.signer for each in build.updates] == list(trainers)
    assert build.time_ms == NOW_MS
    assert built == ("save A", "persist", "PROPOSAL 0 A", "persist", "PREPARE 0 A")
    assert three not in {have.signer for have in build.haves}


def built_from(bench: Bench, block: Block) -> BlockBuilt:
    return BlockBuilt(height=bench.height, view=block.header.created_view, block=block)


def test_with_the_haves_of_all_there_is_nothing_to_wait_for() -> None:
    """Rule P12: the grace is for more HAVEs; when all are held it is over."""
    bench = started(leads=0)
    bench.hold(0, 1, 2, 3)

    lines = tuple(line for each in bench.others for line in bench.have(each, (0, 1, 2, 3)))

    assert lines == ("build AGGREGATE 0",)


def test_the_proposer_offers_what_is_valid_with_its_certificate() -> None:
    """Rules P20 and P33: `valid`, once it is held and checked, goes before anything fresh."""
    bench = started(leads=1)
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 0, block_id(a.header))

    lines = bench.votes(COMMIT, 0, NIL)

    assert lines == (
        "persist",
        "PROPOSAL 1 A",
        "persist",
        "PREPARE 1 A valid 0",
    )
    proposal = next(each for each in bench.effects if isinstance(each, Publish))
    assert isinstance(proposal.message, ProposalMessage)
    assert proposal.message.certificate[0].view == 0


def test_a_block_proposed_again_is_said_again_with_the_certificate_of_its_valid_view() -> None:
    """Rules P23 and P35: whoever missed both could not use it with a later certificate."""
    bench = started(leads=1)
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))
    bench.votes(COMMIT, 0, NIL)
    bench.votes(PREPARE, 1, block_id(a.header), valid_view=0)

    bench.fire(TimerKind.REBROADCAST)
    bench.fire(TimerKind.REBROADCAST)

    messages = [each.message for each in bench.effects if isinstance(each, Publish)]
    (again,) = [each for each in messages if isinstance(each, ProposalMessage)]
    assert again.proposal.statement.valid_view == 0
    assert [each.view for each in again.certificate] == [0]


def test_a_valid_block_that_is_not_held_is_fetched_and_a_fresh_one_is_offered_until_then() -> None:
    """Rule P33: pulled from the certificate's signers, one after another."""
    bench = started(leads=1)
    a = bench.block("A")
    certificate = bench.certificate(PREPARE, 0, block_id(a.header))
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))

    asked = bench.certify(certificate)
    again = bench.fire(TimerKind.FETCH, 1)
    fresh = bench.votes(COMMIT, 0, NIL)
    answer = bench.propose(a, 0)
    over = bench.fire(TimerKind.FETCH, 1)

    first, second = bench.others[0], bench.others[1]
    assert asked == (f"to {first}: ask {first} for a block",)
    assert again == (f"to {second}: ask {second} for a block",)
    assert fresh == ("build AGGREGATE 1",)
    assert answer == ("check A",)
    assert over == ()


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


def test_mixed_prepares_of_a_quorum_start_one_timer_and_then_nil() -> None:
    """Rules P24 and P30: no value has a quorum; after the wait COMMIT nil."""
    bench = started()
    a = bench.block("A")
    one, two, three = bench.others
    bench.propose_and_check(a)

    bench.vote(one, PREPARE, 0, NIL)
    before = bench.timers()
    bench.vote(two, PREPARE, 0, bytes(32))
    at_quorum = bench.timers()
    bench.vote(three, PREPARE, 0, NIL)
    after = bench.timers()
    lines = bench.fire(TimerKind.PREPARE)

    key = (TimerKind.PREPARE, 0)
    assert key not in before
    assert at_quorum[key] == bench.contract.timeouts.prepare_ms
    assert key not in after
    assert lines == ("persist", "COMMIT 0 nil")


def test_a_check_that_ends_late_still_locks() -> None:
    """Rules P13 and P25: PREPARE nil by timeout, then the block proves good: lock and COMMIT."""
    bench = started()
    a = bench.block("A")
    bench.propose(a, 0)
    for other in bench.others:
        bench.have(other)
    bench.fire(TimerKind.PROPOSE)
    bench.votes(PREPARE, 0, block_id(a.header))

    lines = bench.check(a)

    assert lines == ("save A", "persist", "COMMIT 0 A", "certificate PREPARE 0 A")
    assert bench.record.lock is not None


def test_a_quorum_after_commit_nil_is_remembered_and_not_locked() -> None:
    """Rule P25: always remember it as valid; lock it only in the prepare step."""
    bench = started()
    a = bench.block("A")
    one, two, three = bench.others
    bench.propose_and_check(a)
    bench.vote(one, PREPARE, 0, NIL)
    bench.vote(two, PREPARE, 0, block_id(a.header))
    bench.fire(TimerKind.PREPARE)

    lines = bench.vote(three, PREPARE, 0, block_id(a.header))

    record = bench.engine._desk.record
    assert lines == ()
    assert record.lock is None
    assert record.certificate is not None
    assert record.certificate.block_id == block_id(a.header)


def test_prepares_of_another_valid_view_do_not_add_up() -> None:
    """Rules P25 and P34: the quorum must have the valid view of the proposal."""
    bench = started()
    a = bench.block("A")
    certificate = bench.certificate(PREPARE, 0, block_id(a.header))
    bench.votes(COMMIT, 0, NIL)
    bench.propose(a, 1, certificate)
    bench.check(a)
    one, two, three = bench.others

    mixed = bench.vote(one, PREPARE, 1, block_id(a.header)) + bench.vote(
        two, PREPARE, 1, block_id(a.header), 0
    )
    quorum = bench.vote(three, PREPARE, 1, block_id(a.header), 0)

    assert mixed == ()
    assert quorum == ("persist", "COMMIT 1 A", "certificate PREPARE 1 A")


def test_a_quorum_of_nil_is_answered_with_commit_nil() -> None:
    """Rule P26, and PREPARE nil first, so that others see a quorum too."""
    bench = started()

    lines = bench.votes(PREPARE, 0, NIL)

    assert lines == ("persist", "PREPARE 0 nil", "persist", "COMMIT 0 nil")


def test_a_third_that_prepared_nil_is_no_reason_to_commit_nil() -> None:
    """Rule P32: there is no early nil on a blocking minority."""
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)

    lines = bench.votes(PREPARE, 0, NIL, members=bench.others[:2])

    assert lines == ()


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


def test_a_commit_quorum_of_an_earlier_view_decides() -> None:
    """Rule P28: of any view."""
    bench = started()
    a = bench.block("A")
    bench.propose_and_check(a)
    bench.votes(PREPARE, 2, NIL, members=bench.others[:2])

    lines = bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    assert bench.engine.height == bench.height + 1
    assert lines[0] == "commit A"


def test_to_decide_by_certificate_the_block_suffices() -> None:
    """Rules P13, P28, P40: no body is checked; the own COMMIT is signed after the append."""
    bench = started()
    a = bench.block("A")
    certificate = bench.certificate(COMMIT, 0, block_id(a.header))

    asked = bench.certify(certificate)
    decided = bench.propose(a, 0)

    first = bench.others[0]
    assert asked == (f"to {first}: ask {first} for a block",)
    assert decided == (
        "commit A",
        "persist",
        "COMMIT 0 A",
        "certificate COMMIT 0 A",
        "train 2",
    )
    tip = bench.engine._desk.tip_certificate
    assert tip is not None
    assert len(tip.signatures) == 4


def test_a_certificate_of_an_invalid_block_stops_the_process() -> None:
    """Rule P28: what a quorum decided and this node finds invalid cannot be lived with."""
    bench = started()
    a = bench.block("A")
    bench.propose(a, 0)
    refused = bench.check(a, is_valid=False)

    lines = bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    assert refused == ("notice", "persist", "PREPARE 0 nil")
    assert lines == ("halt",)
    halt = bench.effects[0]
    assert isinstance(halt, Halt)
    assert "wrong aggregate" in halt.reason
    assert bench.start() == ()


def test_a_late_check_that_fails_after_the_decision_stops_the_process() -> None:
    """Rules P13, P28: the block was decided by certificate and then does not recompute."""
    bench = started()
    a = bench.block("A")
    bench.propose(a, 0)
    bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    lines = bench.check(a, is_valid=False)

    assert lines == ("halt",)


def test_a_prepare_certificate_of_an_invalid_block_is_an_error_in_the_log() -> None:
    """Rule P33: PREPARE nil, and the reason at level error."""
    bench = started()
    a = bench.block("A")
    bench.propose(a, 0)
    bench.check(a, is_valid=False)

    lines = bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))

    assert lines == ("error",)
    notice = bench.effects[0]
    assert isinstance(notice, Notice)
    assert "wrong aggregate" in notice.text


def test_the_highest_prepare_certificate_seen_is_valid() -> None:
    """Rule P33: a higher one replaces it, a lower one does not."""
    bench = started()
    a, b = bench.block("A"), bench.block("B", listing=(0, 1, 2))

    bench.certify(bench.certificate(PREPARE, 1, block_id(a.header)))
    bench.certify(bench.certificate(PREPARE, 0, block_id(b.header)))
    low = bench.engine._desk.record.certificate
    bench.certify(bench.certificate(PREPARE, 2, block_id(b.header)))
    high = bench.engine._desk.record.certificate

    assert low is not None
    assert (low.view, low.block_id) == (1, block_id(a.header))
    assert high is not None
    assert (high.view, high.block_id) == (2, block_id(b.header))


@pytest.mark.parametrize(
    ("phase", "first", "second"),
    [
        (PREPARE, (NIL, FRESH), (bytes(32), FRESH)),
        (PREPARE, (bytes(32), FRESH), (bytes(32), 0)),
        (COMMIT, (bytes(32), FRESH), (bytes([1]) * 32, FRESH)),
    ],
    ids=["block", "valid view alone", "commit"],
)
def test_two_different_votes_are_reported_once_whatever_differs(
    phase: Phase, first: tuple[bytes, int], second: tuple[bytes, int]
) -> None:
    """Rule P34."""
    bench = started()
    liar = bench.others[0]

    lines = [bench.vote(liar, phase, 1, *first), bench.vote(liar, phase, 1, *second)]
    lines.append(bench.vote(liar, phase, 1, *second))

    assert lines == [(), (f"contradiction {liar}",), ()]


def test_two_haves_and_two_proposals_are_contradictions() -> None:
    """Rules P11 and P34."""
    bench = started()
    liar = bench.order[0]
    a, b = bench.block("A"), bench.block("B", listing=(0, 1, 2))

    bench.have(liar, (0, 1))
    haves = bench.have(liar, (0,))
    bench.propose(a, 0)
    proposals = bench.propose(b, 0)

    assert haves == (f"contradiction {liar}",)
    assert proposals == (f"contradiction {liar}",)


def test_a_block_of_an_equivocating_proposer_is_kept_when_a_certificate_names_it() -> None:
    """Rules P33, P34: A came first, but the others decided B."""
    bench = started()
    a, b = bench.block("A"), bench.block("B", listing=(0, 1, 2))
    bench.propose_and_check(a)
    bench.certify(bench.certificate(COMMIT, 0, block_id(b.header)))

    lines = bench.propose(b, 0)

    assert "commit B" in lines


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


def test_from_view_four_on_the_proposer_offers_an_empty_block_without_haves() -> None:
    """Rule P15 (b): so a height always ends."""
    bench = started(leads=0)
    for view in range(4):
        bench.votes(COMMIT, view, NIL)

    builds = [each for each in bench.history if isinstance(each, BuildBlock)]

    assert [(each.kind.name, each.view, each.haves) for each in builds] == [("EMPTY", 4, ())]


def test_with_too_few_updates_the_block_is_empty_and_carries_the_haves() -> None:
    """Rule P15 (a): fewer than `need` included, in any view."""
    bench = started(leads=0)
    bench.hold(*bench.others[:2])
    bench.fire(TimerKind.COLLECT)
    for other in bench.others:
        bench.have(other, bench.others[:2])

    builds = [each for each in bench.history if isinstance(each, BuildBlock)]

    assert [(each.kind.name, len(each.haves)) for each in builds] == [("EMPTY", 4)]


def test_a_fresh_proposal_must_be_created_in_its_view() -> None:
    """Rule P22: what was created earlier needs a certificate (P23)."""
    bench = started()
    a = bench.block("A")
    bench.votes(COMMIT, 0, NIL)
    proposal = replace(bench.signed_proposal(a, 1).statement, valid_view=FRESH)
    signed = bench.sign(proposal, bench.order[1])

    lines = bench.step(ProposalReceived(proposal=bench.verified(signed), block=a, certificate=None))

    assert lines == ("check A", "persist", "PREPARE 1 nil")


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


def test_a_certificate_keeps_its_quorum_though_a_vote_in_it_conflicts_with_one_recorded() -> None:
    """Rule P37: certificates are processed as a whole."""
    bench = started()
    a = bench.block("A")
    liar = bench.others[0]
    bench.propose_and_check(a)
    bench.vote(liar, PREPARE, 0, NIL)

    lines = bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))

    assert lines == (
        f"contradiction {liar}",
        "persist",
        "COMMIT 0 A",
        "certificate PREPARE 0 A",
    )


def test_a_valid_block_that_arrives_while_a_fresh_one_is_built_is_offered_instead() -> None:
    """Rules P20 and P33."""
    bench = started(leads=1)
    a, b = bench.block("A"), bench.block("B", view=1)
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))
    bench.votes(COMMIT, 0, NIL)
    bench.certify(bench.certificate(PREPARE, 0, block_id(a.header)))
    bench.propose_and_check(a)

    lines = bench.step(built_from(bench, b))

    assert "PROPOSAL 1 A" in lines
    assert "PROPOSAL 1 B" not in lines


def test_a_certificate_of_the_very_view_is_no_reason_to_offer_its_block_in_it() -> None:
    """Rule P20: the valid view of a proposal is before its view."""
    bench = started(leads=1)
    b = bench.block("B", view=1)
    bench.votes(COMMIT, 0, NIL)
    bench.certify(bench.certificate(PREPARE, 1, block_id(b.header)))
    bench.hold(0, 1, 2, 3)
    for other in bench.others:
        bench.have(other, (0, 1, 2, 3))
    bench.fire(TimerKind.HAVE_GRACE)

    lines = bench.step(built_from(bench, b))

    assert bench.engine.view == 1
    assert "PROPOSAL 1 B" in lines


@pytest.mark.parametrize(("valid_view", "answer"), [(0, "nil"), (1, "B valid 1")])
def test_a_certificate_must_be_of_the_lock_s_view_or_later(valid_view: int, answer: str) -> None:
    """Rule P23: `locked_view <= valid_view`, equality included."""
    bench = started()
    a, b = bench.block("A", view=1), bench.block("B", listing=(0, 1, 2))
    bench.votes(COMMIT, 0, NIL)
    bench.propose_and_check(a, 1)
    bench.votes(PREPARE, 1, block_id(a.header))
    bench.votes(COMMIT, 1, NIL)

    lines = bench.propose(b, 2, bench.certificate(PREPARE, valid_view, block_id(b.header)))
    lines += bench.check(b)

    assert [line for line in lines if line.startswith("PREPARE")] == [f"PREPARE 2 {answer}"]


def test_a_held_block_is_not_offered_with_a_certificate_of_the_view_itself() -> None:
    """Rule P20: even when the proposer, for whatever reason, finds one before it proposed."""
    bench = started(leads=1)
    a = bench.block("A", listing=(0, 1, 2))
    bench.propose_and_check(a)
    bench.votes(COMMIT, 0, NIL)

    lines = bench.certify(bench.certificate(PREPARE, 1, block_id(a.header)))

    assert lines == ()
