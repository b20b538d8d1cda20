"""Rule P81 in the engine: operations are approved, kept, said again and carried."""

from dataclasses import replace

import pytest

from consensus.change_inputs import (
    KeepOperations,
    OperationApproved,
    OperationOffered,
)
from consensus.changes import SAID_AGAIN_MAX
from consensus.effects import (
    BlocksReceived,
    BuildBlock,
    Input,
    Notice,
    Publish,
    TimerKind,
)
from consensus.messages import Message, OperationMessage, ReadyMessage
from consensus.pending import OPERATIONS_PER_MEMBER, WISHES_MAX
from consensus.verification import verify_message
from ledger.errors import DecodeError, SignatureError
from ledger.keys import Signed
from ledger.operations import Approval, Operation, operation_id
from ledger.records import NIL
from tests.support.consensus.bench import COMMIT, Bench, equal_chain, equal_contract
from tests.support.ledger import STUB_SCHEME, stub_chain
from tests.support.members import (
    admit,
    agreed,
    approval,
    carrying,
    evict,
    hold,
    join,
    longer,
    new_key,
    pend,
    ready,
    rotate,
)

FINISHED = 2


def made_bench(length: int = 0, *, member: int = 0) -> Bench:
    bench = Bench(chain=equal_chain(length), member=member)
    bench.start()
    return bench


def finished_bench(*, leads: int = 3) -> Bench:
    """Nobody trains any more: a height opens for an operation only."""
    made = stub_chain(FINISHED, of=equal_contract(training_rounds=FINISHED))
    bench = Bench(chain=made, leads=leads)
    bench.start()
    return bench


def hear(bench: Bench, operation: Operation, member: int) -> tuple[str, ...]:
    """A member's approval arrives as the gate lets it through."""
    message = OperationMessage(
        operation=operation, approval=approval(bench.chain, operation, member)
    )
    return bench.step(gated(bench, message))


def gated(bench: Bench, message: Message) -> Input:
    made = bench.chain
    return verify_message(message, contract=made.in_force, state=made.state, scheme=STUB_SCHEME)


def carried(
    bench: Bench, *operations: Operation, with_ready: tuple[int, ...] = ()
) -> tuple[str, ...]:
    """The others decide a block with operations; the engine catches up with it."""
    made, others = bench.chain, bench.others
    plain = made.build(listing=others, trainers=others)
    chosen = tuple(agreed(made, each) for each in operations)
    readies = tuple(ready(made, each) for each in with_ready)
    made.add(carrying(made, chosen, readies, block=plain), signing=others)
    return caught_up(bench)


def caught_up(bench: Bench) -> tuple[str, ...]:
    made = bench.chain
    return bench.step(BlocksReceived(blocks=(made.blocks[-1],), certificate=made.certificates[-1]))


def notices(bench: Bench) -> list[str]:
    return [each.text for each in bench.effects if isinstance(each, Notice)]


def errors(bench: Bench) -> list[str]:
    return [each.text for each in bench.effects if isinstance(each, Notice) and each.is_error]


def approvals(bench: Bench) -> list[Signed[Approval]]:
    """Those that the engine published in the last step."""
    return [
        each.message.approval
        for each in bench.effects
        if isinstance(each, Publish) and isinstance(each.message, OperationMessage)
    ]


def kept(bench: Bench) -> list[Operation]:
    return [each.operation for each in bench.kept.operations]


def id_of(bench: Bench, operation: Operation) -> bytes:
    return operation_id(operation, bench.state.chain_id)


# --- Offered and approved -----------------------------------------------------------------------


def test_what_a_person_offers_is_approved_kept_and_told_to_all() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)

    lines = bench.step(OperationOffered(operation=operation))

    assert lines == ("OPERATION of 0",)
    assert kept(bench) == [operation]


def test_what_no_block_may_carry_is_not_offered_and_the_reason_is_shown() -> None:
    bench = made_bench()
    expired = replace(evict(bench.chain, 3), expiry=0)

    lines = bench.step(OperationOffered(operation=expired))

    assert lines == ("error",)
    assert "is not offered" in notices(bench)[0]
    assert bench.kept.operations == ()


def test_an_operation_that_others_brought_up_is_approved_when_a_person_says_so() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)
    heard = hear(bench, operation, 1)

    lines = bench.step(OperationApproved(operation_id=id_of(bench, operation)))

    assert heard == ()
    assert lines == ("OPERATION of 0",)
    assert [each.signer for each in bench.kept.operations[0].approvals] == [0, 1]


def test_an_approval_given_ahead_is_signed_once_the_operation_is_heard_of() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)

    early = bench.step(OperationApproved(operation_id=id_of(bench, operation)))
    first = hear(bench, operation, 1)
    second = hear(bench, operation, 2)

    assert (early, first, second) == (("notice",), ("OPERATION of 0",), ())


def test_approvals_given_ahead_are_bounded_and_the_oldest_goes() -> None:
    bench = made_bench()
    first = evict(bench.chain, 3)
    wishes = [id_of(bench, longer(first, each)) for each in range(WISHES_MAX + 1)]
    for each in wishes:
        bench.step(OperationApproved(operation_id=each))

    forgotten = hear(bench, first, 1)
    remembered = hear(bench, longer(first), 1)

    assert forgotten == ()
    assert remembered == ("OPERATION of 0",)


# --- Heard --------------------------------------------------------------------------------------


def test_an_approval_of_another_operation_is_refused_at_the_gate() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)
    message = OperationMessage(
        operation=operation, approval=approval(bench.chain, longer(operation), 1)
    )

    with pytest.raises(DecodeError, match="is of another one"):
        gated(bench, message)


def test_a_ready_of_who_is_not_pending_is_refused_at_the_gate() -> None:
    bench = made_bench()
    message = ReadyMessage(ready=ready(bench.chain, 1))

    with pytest.raises(SignatureError, match="member 1 is not one that is pending"):
        gated(bench, message)


def test_what_no_block_may_carry_is_not_kept() -> None:
    bench = made_bench()

    hear(bench, replace(evict(bench.chain, 3), expiry=0), 1)

    assert bench.of_type(KeepOperations) == []


def test_one_member_brings_up_boundedly_many_operations_and_others_still_can() -> None:
    """Rule P37."""
    bench = made_bench()
    first = evict(bench.chain, 3)

    for each in range(OPERATIONS_PER_MEMBER + 1):
        hear(bench, longer(first, each), 1)
    refused = longer(first, OPERATIONS_PER_MEMBER)
    before = kept(bench)
    hear(bench, refused, 2)

    assert refused not in before
    assert len(before) == OPERATIONS_PER_MEMBER
    assert refused in kept(bench)


def test_an_approval_that_is_known_changes_nothing() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)
    hear(bench, operation, 1)

    hear(bench, operation, 1)

    assert bench.of_type(KeepOperations) == []


def test_operations_in_a_block_that_was_proposed_are_kept_if_it_is_not_decided() -> None:
    bench = Bench(chain=equal_chain(0), leads=1)
    newcomer = pend(bench.chain, "newcomer")
    bench = Bench(chain=bench.chain, leads=1)
    bench.start()
    made, others = bench.chain, bench.others
    operation = evict(made, others[0])
    plain = made.build(listing=others, trainers=others)
    block = carrying(made, (agreed(made, operation),), (ready(made, newcomer),), block=plain)

    bench.propose(block, 0)
    bench.votes(COMMIT, 0, NIL)
    bench.fire(TimerKind.COLLECT)
    for member in others:
        bench.have(member)

    (order,) = [each for each in bench.history if isinstance(each, BuildBlock)]
    assert [each.operation for each in order.operations] == [operation]
    assert [each.signer for each in order.readies] == [newcomer]


# --- Said again and kept ------------------------------------------------------------------------


def test_pending_operations_are_said_again_each_period_also_after_a_restart() -> None:
    """Rule P35."""
    bench = made_bench()
    hear(bench, evict(bench.chain, 3), 1)

    before = bench.fire(TimerKind.REBROADCAST)
    bench.restart()
    after = bench.fire(TimerKind.REBROADCAST)

    assert "OPERATION of 1" in before
    assert "OPERATION of 1" in after


def test_many_approvals_are_said_again_in_turn() -> None:
    """Rule P37: what one period brings is bounded; the next one goes on where it ended."""
    bench = Bench(chain=stub_chain(0, of=equal_contract(10)), member=0)
    bench.start()
    first = evict(bench.chain, 9)
    for each in range(OPERATIONS_PER_MEMBER):
        for member in bench.others:
            hear(bench, longer(first, each), member)
    total = OPERATIONS_PER_MEMBER * len(bench.others)

    said = [
        sum(line.startswith("OPERATION") for line in bench.fire(TimerKind.REBROADCAST))
        for _ in range(3)
    ]

    assert said == [SAID_AGAIN_MAX, total - SAID_AGAIN_MAX, SAID_AGAIN_MAX]


def test_a_ready_of_another_member_is_said_again_until_a_block_carries_it() -> None:
    bench = made_bench()
    newcomer = len(bench.keys)
    carried(bench, join(bench.chain, "newcomer"))
    hold(bench.chain, newcomer, new_key("newcomer", bench.keys[0]))
    message = ReadyMessage(ready=ready(bench.chain, newcomer))
    bench.step(gated(bench, message))

    before = bench.fire(TimerKind.REBROADCAST)
    carried(bench, with_ready=(newcomer,))
    told = notices(bench)
    after = bench.fire(TimerKind.REBROADCAST)

    assert "READY 1" in before
    assert "newcomer is a member from height 3 on" in told[0]
    assert not any(line.startswith("READY") for line in after)


def test_what_a_block_carried_is_kept_no_longer() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)
    hear(bench, operation, 1)

    carried(bench, operation)

    assert bench.of_type(KeepOperations) == [KeepOperations(operations=())]


def test_approvals_under_a_key_that_was_replaced_are_dropped_and_others_stay() -> None:
    bench = made_bench()
    operation = evict(bench.chain, 3)
    hear(bench, operation, 1)
    hear(bench, operation, 2)

    carried(bench, rotate(bench.chain, 1, new_key("next", bench.keys[1])))
    bench.fire(TimerKind.REBROADCAST)

    assert [each.signer for each in approvals(bench)] == [2]


def test_after_a_restart_approvals_under_keys_that_were_replaced_are_not_taken_up() -> None:
    bench = made_bench()
    hear(bench, evict(bench.chain, 3), 1)
    saved = bench.kept
    made = bench.chain
    made.add(carrying(made, (agreed(made, rotate(made, 1, new_key("next", made.keys[1]))),)))
    later = Bench(chain=made, member=0)
    later.kept = saved

    later.restart()
    lines = later.fire(TimerKind.REBROADCAST)

    assert not any(line.startswith("OPERATION") for line in lines)


def test_kept_approvals_of_members_that_an_older_ledger_does_not_know_are_not_taken_up() -> None:
    """Rule P60: the ledger is an old copy, or was fetched anew and is behind."""
    made = equal_chain(0)
    newcomer = admit(made, "newcomer")
    later = Bench(chain=made, member=0)
    later.start()
    hear(later, evict(made, 3), newcomer)
    saved = later.kept
    bench = Bench(chain=equal_chain(0), member=0)
    bench.kept = saved

    bench.restart()
    lines = bench.fire(TimerKind.REBROADCAST)

    assert [each.signer for each in saved.operations[0].approvals] == [newcomer]
    assert not any(line.startswith("OPERATION") for line in lines)


# --- Heights that open for operations -----------------------------------------------------------


def agree(bench: Bench, operation: Operation) -> tuple[str, ...]:
    lines: tuple[str, ...] = ()
    for member in bench.others:
        lines += hear(bench, operation, member)
    return lines


def test_an_operation_that_all_agreed_to_opens_a_height_of_a_finished_chain() -> None:
    """Rules P11, P15: nobody trains for it, so that HAVE lists wait for nothing."""
    bench = finished_bench()

    lines = agree(bench, evict(bench.chain, bench.others[0]))

    assert not bench.engine.is_finished
    assert lines == ("persist", "HAVE 0")
