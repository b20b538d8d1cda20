"""The signer never says two different things in one slot, nor goes back (rule P60)."""

from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import SigningRefusedError
from consensus.messages import Status
from consensus.record import (
    INITIAL_RECORD,
    SafetyRecord,
    SlotKind,
    Step,
    at_height,
    in_view,
    with_valid,
)
from consensus.signer import Signer, slot_of
from ledger import keys
from ledger.encoding import decode, encode
from ledger.keys import Signed, signing_bytes
from ledger.records import (
    FRESH,
    NIL,
    Codec,
    HaveEntry,
    HaveList,
    Phase,
    Proposal,
    UpdateHeader,
    Vote,
)
from tests.support.consensus.bench import Bench
from tests.support.ledger import STUB_SCHEME, StubKey, digest

Statement: TypeAlias = UpdateHeader | HaveList | Proposal | Vote
CHAIN = digest("chain")
KEY = StubKey(digest("key"))
START = at_height(INITIAL_RECORD, 1)
A, B = digest("A"), digest("B")


def signer(record: SafetyRecord = START) -> Signer:
    return Signer(key=KEY, member=2, chain_id=CHAIN, record=record)


def sign(record: SafetyRecord, *statements: Statement) -> SafetyRecord:
    for statement in statements:
        record, _ = signer(record).sign(statement)
    return record


def vote(phase: Phase, view: int, block: bytes, *, height: int = 1, valid: int = FRESH) -> Vote:
    return Vote(phase=phase, height=height, view=view, valid_view=valid, block_id=block)


def prepare(view: int, block: bytes, *, height: int = 1, valid: int = FRESH) -> Vote:
    return vote(Phase.PREPARE, view, block, height=height, valid=valid)


def commit(view: int, block: bytes, *, height: int = 1) -> Vote:
    return vote(Phase.COMMIT, view, block, height=height)


def have(*trainers: int, height: int = 1) -> HaveList:
    entries = tuple(HaveEntry(trainer=each, header_digest=A) for each in trainers)
    return HaveList(height=height, entries=entries)


def proposal(view: int, block: bytes, *, height: int = 1) -> Proposal:
    return Proposal(height=height, view=view, valid_view=FRESH, block_id=block)


def header(body: bytes, *, height: int = 1) -> UpdateHeader:
    return UpdateHeader(
        trainer=2,
        height=height,
        training_round=1,
        base_model_id=A,
        update_id=body,
        codec=Codec.INT32,
        n_elements=8,
        releases=1,
    )


def test_a_signature_fills_its_slot_and_is_good() -> None:
    record, signed = signer().sign(prepare(0, A))

    slot = record.slot(SlotKind.PREPARE)
    assert slot is not None
    assert (slot.height, slot.view, slot.signature) == (1, 0, signed.signature)
    assert STUB_SCHEME.is_valid(
        KEY.public_key, signing_bytes(signed.statement, CHAIN), signed.signature
    )
    assert record.step is Step.PREPARE
    assert decode(SafetyRecord, encode(record)) == record


@pytest.mark.parametrize(
    "statement", [header(A), have(1), proposal(0, A), prepare(0, A), commit(0, A)]
)
def test_the_same_statement_again_gives_the_stored_signature_even_when_the_height_is_over(
    statement: Statement,
) -> None:
    """Rule P60: a restart republishes."""
    record, first = signer().sign(statement)

    later, second = signer(at_height(record, 2)).sign(statement)

    assert second == first
    assert later == at_height(record, 2)


@pytest.mark.parametrize(
    ("signed", "refused"),
    [
        (header(A), header(B)),
        (have(1), have(1, 2)),
        (proposal(0, A), proposal(0, B)),
        (prepare(0, A), prepare(0, B)),
        (prepare(0, A), prepare(0, NIL)),
        (prepare(1, A, valid=FRESH), prepare(1, A, valid=0)),
        (commit(0, NIL), commit(0, A)),
    ],
)
def test_another_statement_for_the_same_slot_is_refused(
    signed: Statement, refused: Statement
) -> None:
    """Rules P34 and P60, whatever field differs."""
    record = sign(START, signed)

    with pytest.raises(SigningRefusedError, match=r"is signed already"):
        signer(record).sign(refused)


@pytest.mark.parametrize(
    ("signed", "refused"),
    [
        (prepare(2, NIL), prepare(1, A)),
        (commit(2, NIL), prepare(1, NIL)),
        (prepare(2, NIL), commit(1, NIL)),
        (commit(2, NIL), commit(1, A)),
        (commit(2, NIL), prepare(2, NIL)),
        (prepare(2, NIL), proposal(2, A)),
        (proposal(2, A), proposal(1, A)),
    ],
)
def test_nothing_is_signed_for_what_is_behind(signed: Statement, refused: Statement) -> None:
    """Rule P60: never back; a COMMIT without PREPARE forbids a later PREPARE in that view."""
    record = sign(START, signed)

    with pytest.raises(SigningRefusedError):
        signer(record).sign(refused)


@pytest.mark.parametrize("height", [0, 2])
def test_votes_of_another_height_than_the_record_are_refused(height: int) -> None:
    with pytest.raises(SigningRefusedError, match=r"the signer is at height 1"):
        signer().sign(prepare(0, A, height=height))


def test_a_late_update_may_be_signed_for_a_height_that_is_over_once() -> None:
    """Rule P11: a sign of life of a trainer that is ready too late."""
    record = at_height(sign(START, header(A)), 3)

    record, _ = signer(record).sign(header(B, height=2))

    with pytest.raises(SigningRefusedError):
        signer(record).sign(header(A, height=2))
    with pytest.raises(SigningRefusedError):
        signer(record).sign(header(B, height=4))


def test_a_view_that_was_entered_is_the_earliest_one_to_sign_in() -> None:
    record = in_view(START, 3, ())

    with pytest.raises(SigningRefusedError, match=r"the signer is in view 3"):
        signer(record).sign(commit(2, A))


def test_a_commit_for_a_block_is_a_lock_that_survives_a_restart() -> None:
    """Rules P22, P23, P60: the lock is in the record."""
    record = decode(SafetyRecord, encode(sign(START, commit(1, A))))

    with pytest.raises(SigningRefusedError, match=r"locked in view 1"):
        signer(record).sign(prepare(2, B, valid=0))
    assert sign(record, prepare(2, B, valid=1)).step is Step.PREPARE
    assert sign(record, prepare(2, A)).step is Step.PREPARE
    assert sign(record, prepare(2, NIL)).step is Step.PREPARE


def test_commit_nil_keeps_the_lock_and_a_new_height_ends_it() -> None:
    record = sign(START, commit(0, A), commit(1, NIL))

    assert record.lock is not None
    assert record.lock.block_id == A
    assert at_height(record, 2).lock is None
    assert at_height(record, 1) == record


def test_the_highest_prepare_certificate_replaces_only_lower_ones() -> None:
    """Rule P33."""
    bench = Bench()
    low, high = (bench.certificate(Phase.PREPARE, view, A) for view in (1, 2))
    record = START

    assert with_valid(with_valid(record, low), high).certificate == high
    assert with_valid(with_valid(record, high), low).certificate == high


def test_requests_are_no_slots_and_slots_are_no_requests() -> None:
    """Rule P60."""
    status = Status(height=1, block_id=A, sequence=1)

    first, second = signer().sign_request(status), signer().sign_request(replace(status, height=9))

    assert first.statement != second.statement
    with pytest.raises(SigningRefusedError, match=r"Vote is a slot"):
        signer().sign_request(prepare(0, A))


heights, views = st.integers(1, 3), st.integers(0, 3)
blocks = st.sampled_from([NIL, A, B])
statements = st.one_of(
    st.builds(lambda h, b: header(b or A, height=h), heights, blocks),
    st.builds(lambda h, t: have(t, height=h), heights, st.integers(0, 1)),
    st.builds(lambda h, v, b: proposal(v, b or A, height=h), heights, views, blocks),
    st.builds(lambda h, v, b: prepare(v, b, height=h), heights, views, blocks),
    st.builds(lambda h, v, b: commit(v, b, height=h), heights, views, blocks),
)
moves = st.one_of(
    st.tuples(st.just("sign"), statements),
    st.tuples(st.just("height"), heights),
    st.tuples(st.just("view"), views),
    st.tuples(st.just("restart"), st.none()),
)


@given(st.lists(moves, max_size=60))
def test_no_history_yields_two_statements_for_one_slot(
    history: list[tuple[str, Statement | int | None]],
) -> None:
    """Rule P60, over restarts: the record before a signature that never left may come back."""
    record = durable = START
    said: dict[tuple[SlotKind, int, int], Statement] = {}
    locked: dict[int, tuple[int, bytes]] = {}

    for move, argument in history:
        if move == "restart":
            record = decode(SafetyRecord, encode(durable))
        elif move == "height" and isinstance(argument, int):
            record = at_height(record, argument)
        elif move == "view" and isinstance(argument, int):
            record = in_view(record, argument, ()) if argument > record.view else record
        elif isinstance(argument, UpdateHeader | HaveList | Proposal | Vote):
            try:
                record, signed = signer(record).sign(argument)
            except SigningRefusedError:
                continue
            durable = record
            kind, view = slot_of(argument)
            key = kind, argument.height, view
            assert said.setdefault(key, signed.statement) == signed.statement
            check_lock(argument, locked)


def check_lock(statement: Statement, locked: dict[int, tuple[int, bytes]]) -> None:
    """No PREPARE after a COMMIT for another block, without a later certificate (rule P22)."""
    if not isinstance(statement, Vote) or statement.block_id == NIL:
        return
    if statement.phase is Phase.COMMIT:
        before = locked.get(statement.height, (-1, b""))
        locked[statement.height] = max(before, (statement.view, statement.block_id))
    elif statement.height in locked and statement.view > locked[statement.height][0]:
        assert statement.block_id == locked[statement.height][1]


def shown(statement: Statement) -> Signed[Statement]:
    """What peers show this member of its own: signed with its key."""
    return keys.sign(statement, KEY, signer=2, chain_id=CHAIN)


def test_a_shown_proposal_moves_the_view_and_is_no_vote() -> None:
    """Rule P60: its place is taken; what votes promise stays as it is."""
    record = signer(sign(START, commit(0, A))).raised(shown(proposal(1, B))).record

    assert (record.view, record.step) == (1, Step.PROPOSE)
    assert record.lock is not None
    assert record.lock.block_id == A
    with pytest.raises(SigningRefusedError):
        signer(record).sign(proposal(1, A))


def test_a_shown_commit_of_an_earlier_view_does_not_replace_the_lock() -> None:
    """Rules P25, P60: a lock is of the latest view, in whatever order peers answer."""
    record = signer(sign(START, commit(2, A))).raised(shown(commit(1, B))).record

    assert record.lock is not None
    assert (record.lock.view, record.lock.block_id) == (2, A)
    assert (record.view, record.step) == (2, Step.COMMIT)
