"""When a block is locked, committed and decided (rules P24-P28, P33)."""

from dataclasses import replace

from consensus.effects import (
    CommitBlock,
    Halt,
    Notice,
    TimerKind,
)
from ledger.records import NIL, block_id
from tests.support.consensus.bench import COMMIT, PREPARE, started


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
    a, b = bench.block("A"), bench.block("B", is_other=True)

    bench.certify(bench.certificate(PREPARE, 1, block_id(a.header)))
    bench.certify(bench.certificate(PREPARE, 0, block_id(b.header)))
    low = bench.engine._desk.record.certificate
    bench.certify(bench.certificate(PREPARE, 2, block_id(b.header)))
    high = bench.engine._desk.record.certificate

    assert low is not None
    assert (low.view, low.block_id) == (1, block_id(a.header))
    assert high is not None
    assert (high.view, high.block_id) == (2, block_id(b.header))


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


def test_a_decided_block_that_comes_after_its_certificate_is_checked_before_it_is_committed() -> (
    None
):
    """Rules P13, P28: a quorum of liars must not get a block past the rules of the ledger."""
    bench = started()
    block = bench.block("A")
    forged = replace(block, header=replace(block.header, state_root=bytes(32)))
    bench.certify(bench.certificate(COMMIT, 0, block_id(forged.header)))

    lines = bench.propose(forged, 0)

    assert lines[-1] == "halt"
    assert bench.of_type(CommitBlock) == []


def test_a_late_check_that_fails_after_the_decision_stops_the_process() -> None:
    """Rules P13, P28: the block was decided by certificate and then does not recompute."""
    bench = started()
    a = bench.block("A")
    bench.propose(a, 0)
    bench.certify(bench.certificate(COMMIT, 0, block_id(a.header)))

    lines = bench.check(a, is_valid=False)

    assert lines == ("halt",)
