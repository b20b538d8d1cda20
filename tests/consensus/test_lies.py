"""What single members say to keep others silent, busy or wrong, and why that does not help them."""

from dataclasses import replace

import pytest

from consensus.change_inputs import OperationReceived
from consensus.effects import (
    BlocksReceived,
    Progress,
    Publish,
    Started,
    StatusReceived,
    TimerKind,
    UpdateHeld,
    VoteReceived,
)
from consensus.line_inputs import Reconnected
from consensus.messages import ReadyMessage, StatementsRequestMessage, Status, UpdateMessage
from consensus.verification import verify_message
from ledger.errors import SignatureError
from ledger.genesis import Role
from ledger.records import NIL
from tests.support.consensus.bench import (
    PREPARE,
    Bench,
    equal_chain,
    equal_contract,
    started,
)
from tests.support.ledger import STUB_SCHEME, digest, stub_chain, update, with_roles
from tests.support.members import agreed, approval, carry, carrying, join, leave, new_key, rotate

FAR = 2**60
"""A height that nobody reaches."""


def counter_of(bench: Bench) -> int:
    (asked,) = (
        each.message.request.statement.counter
        for each in bench.history
        if isinstance(each, Publish) and isinstance(each.message, StatementsRequestMessage)
    )
    return asked


def test_who_answers_from_a_height_that_nobody_reaches_keeps_nobody_silent() -> None:
    """Rule P60: the honest among those who answered are no further than this node."""
    bench = Bench()
    bench.step(Started())
    counter = counter_of(bench)
    liar, one, two = bench.others

    bench.step(bench.answered(liar, counter, height=FAR))
    first = bench.step(bench.answered(one, counter))
    second = bench.step(bench.answered(two, counter))

    assert first == ()
    assert second == ("train 1",)


def test_who_claims_more_blocks_than_there_are_keeps_no_newcomer_from_saying_ready() -> None:
    """Rule P81."""
    made = equal_chain(0)
    key = new_key("newcomer", made.keys[0])
    carry(made, join(made, "newcomer", key=key))
    made.keys = [*made.keys, key]
    bench = Bench(chain=made, member=len(made.keys) - 1)
    bench.step(Started())
    status = Status(height=FAR, block_id=digest("no block"), sequence=1)
    bench.step(StatusReceived(status=bench.verified(bench.sign(status, 0))))

    bench.history.clear()
    bench.fire(TimerKind.REBROADCAST)

    said = [getattr(each, "message", None) for each in bench.history]
    assert any(isinstance(each, ReadyMessage) for each in said)


def test_what_opens_no_height_of_a_finished_chain_starts_nothing_again() -> None:
    """Else what is said per height (rule P37) could be said for each message."""
    of = equal_contract(training_rounds=0)
    bench = started(chain=stub_chain(0, of=of))
    chain = bench.chain
    operation = leave(chain, bench.others[0])
    foreign = bench.verified(approval(chain, operation, bench.others[1]))

    bench.step(OperationReceived(operation=operation, approval=foreign))

    assert bench.engine.is_finished
    assert bench.of_type(Progress) == []


def test_a_body_that_comes_after_its_trainer_s_key_was_replaced_is_not_listed() -> None:
    """A block with its header would be invalid for all."""
    bench = started()
    rotated, other = bench.others[:2]
    source = equal_chain(0)
    operation = rotate(source, rotated, new_key("new", source.keys[0]))
    plain = source.build(listing=bench.others, trainers=bench.others)
    source.add(carrying(source, (agreed(source, operation),), block=plain), signing=bench.others)
    bench.step(BlocksReceived(blocks=tuple(source.blocks), certificate=source.certificates[-1]))

    for trainer in (rotated, other):
        signed = update(bench.contract, source.state, trainer, bench.keys[trainer])
        bench.step(UpdateHeld(update=bench.verified(signed)))

    height = bench.engine._height
    assert height is not None
    assert sorted(height.facts.collection.held) == [other]


def test_what_somebody_repeats_takes_the_place_of_nothing_else() -> None:
    """Rule P37: whoever knows the network key can say again what others said."""
    bench = started()
    one = bench.others[0]
    votes = [
        replace(bench.signed_vote(one, PREPARE, view, NIL).statement, height=2) for view in range(2)
    ]

    for vote in (*[votes[0]] * 50, votes[1]):
        bench.step(VoteReceived(vote=bench.verified(bench.sign(vote, one))))

    assert bench.engine._later.size() == 2


def test_a_header_of_a_member_that_is_no_trainer_is_refused_at_the_gate() -> None:
    """Rule P10: else its body would be fetched."""
    of = with_roles(equal_contract(), {3: Role.VALIDATOR})
    made = stub_chain(0, of=of)
    header = update(of, made.state, 3, made.keys[3])

    with pytest.raises(SignatureError, match="no trainer"):
        verify_message(
            UpdateMessage(update=header), contract=of, state=made.state, scheme=STUB_SCHEME
        )


def test_a_broker_that_hangs_up_does_not_prolong_the_question() -> None:
    """Rule P60: each new connection asks again, and the two periods go on from the first."""
    bench = Bench()
    bench.step(Started())
    asked = bench.timers()

    lines = bench.step(Reconnected())
    again = bench.timers()

    assert (TimerKind.ASK, 0) in asked
    assert "ask all for own statements" in lines
    assert (TimerKind.ASK, 0) not in again
