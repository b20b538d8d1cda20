"""What waits for a block: bounded, merged, dropped in time (rules P35, P37, P81)."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from consensus.pending import OPERATIONS_PER_MEMBER, WISHES_MAX, Pending
from ledger.operations import (
    OPERATIONS_MAX,
    READY_WINDOW,
    Operation,
    operation_id,
)
from ledger.powers import Validator, ValidatorSet
from tests.support.ledger import STUB_SCHEME, Chain, contract, digest, stub_chain
from tests.support.members import (
    approval,
    carry,
    change,
    evict,
    go_on,
    grown,
    join,
    leave,
    pend,
    ready,
    rotate_key,
)


def hear(pending: Pending, made: Chain, operation: Operation, *by: int) -> list[bool]:
    """Approvals of an operation come; return of each whether it was new."""
    return [
        pending.hear(made.in_force, made.state, operation, approval(made, operation, each))
        for each in by
    ]


def approvers(pending: Pending) -> list[list[int]]:
    """Who approved each operation that waits."""
    return [[one.signer for one in each.approvals] for each in pending.agreed()]


def waiting(made: Chain, *operations: Operation, by: Iterable[int] = (0, 1)) -> Pending:
    pending = Pending(STUB_SCHEME)
    for each in operations:
        hear(pending, made, each, *by)
    return pending


def joins(made: Chain, count: int) -> list[Operation]:
    return [join(made, f"new {number}") for number in range(count)]


def test_approvals_of_one_operation_are_merged_in_member_order() -> None:
    made, pending = grown(), Pending(STUB_SCHEME)
    operation = evict(made, 3)

    new = hear(pending, made, operation, 2, 0, 1)

    assert new == [True] * 3
    assert approvers(pending) == [[0, 1, 2]]
    assert pending.find(operation_id(operation, made.state.chain_id)) == operation


def test_what_is_said_again_is_not_new_and_replaces_nothing() -> None:
    made, pending = grown(), Pending(STUB_SCHEME)
    operation = evict(made, 3)
    first = approval(made, operation, 0)
    again = replace(first, signature=bytes(64))

    new = [pending.hear(made.in_force, made.state, operation, each) for each in (first, again)]

    assert new == [True, False]
    assert pending.agreed()[0].approvals == (first,)


def test_operations_are_kept_in_the_order_of_their_ids() -> None:
    made = grown()
    operations = joins(made, 5)

    ids = [operation_id(each, made.state.chain_id) for each in operations]

    agreed = waiting(made, *operations).agreed()
    assert [operation_id(each.operation, made.state.chain_id) for each in agreed] == sorted(ids)


def test_a_member_brings_up_so_many_operations_and_approves_any_number() -> None:
    """Rule P37: what one member says cannot fill the place of another's."""
    made, pending = grown(), Pending(STUB_SCHEME)
    operations = joins(made, 2 * OPERATIONS_PER_MEMBER)
    own, others = operations[:OPERATIONS_PER_MEMBER], operations[OPERATIONS_PER_MEMBER:]

    of_another = [hear(pending, made, each, 1)[0] for each in others]
    approved = [hear(pending, made, each, 0)[0] for each in others]
    opened = [hear(pending, made, each, 0)[0] for each in own]
    beyond = hear(pending, made, evict(made, 3), 0)
    more = hear(pending, made, own[0], 1)

    assert opened == of_another == approved == [True] * OPERATIONS_PER_MEMBER
    assert (beyond, more) == ([False], [True])
    assert len(pending.agreed()) == 2 * OPERATIONS_PER_MEMBER


def test_what_was_carried_or_is_out_of_date_makes_room() -> None:
    made = grown()
    operations = joins(made, OPERATIONS_PER_MEMBER)
    pending = waiting(made, *operations)
    late = join(made, "late")
    full = hear(pending, made, late, 0)
    carry(made, operations[0])

    is_gone = pending.forget(made.in_force, made.state)

    assert (full, is_gone) == ([False], True)
    assert hear(pending, made, late, 0) == [True]


def test_what_no_block_may_carry_is_not_kept() -> None:
    made, pending = grown(), Pending(STUB_SCHEME)
    expired = replace(evict(made, 3), expiry=made.state.height)
    unknown = replace(evict(made, 3), member=9)

    assert hear(pending, made, expired, 0) == hear(pending, made, unknown, 0) == [False]
    assert pending.agreed() == ()
    assert pending.problem(made.in_force, made.state, unknown) == "member 9 is unknown"


def test_an_operation_waits_until_its_expiry_and_no_longer() -> None:
    made = grown()
    operation = replace(evict(made, 3), expiry=made.state.height + 3)
    pending = waiting(made, operation)

    kept = []
    for _ in range(3):
        go_on(made, 1)
        is_gone = pending.forget(made.in_force, made.state)
        kept.append((len(pending.agreed()), is_gone))

    assert kept == [(1, False), (1, False), (0, True)]


def test_approvals_of_replaced_keys_and_of_who_is_gone_are_dropped() -> None:
    made = grown(7)
    operation = evict(made, 6)
    pending = waiting(made, operation, by=range(6))
    pending.forget(made.in_force, made.state)
    rotate_key(made, 1, "rotated")
    carry(made, leave(made, 2))

    is_gone = pending.forget(made.in_force, made.state)

    assert not is_gone
    assert approvers(pending) == [[0, 3, 4, 5]]
    assert hear(pending, made, operation, 1) == [True]


def test_an_operation_that_nobody_approves_any_more_is_dropped() -> None:
    made = grown()
    pending = waiting(made, evict(made, 3), by=[1])
    pending.forget(made.in_force, made.state)
    rotate_key(made, 1, "rotated")

    assert pending.forget(made.in_force, made.state)
    assert pending.agreed() == ()


def test_the_newest_ready_of_a_member_counts() -> None:
    made, pending = grown(), Pending(STUB_SCHEME)
    number = pend(made, "new")
    go_on(made, 2)
    older, newer = (ready(made, number, height=made.state.height - each) for each in (1, 0))

    new = [pending.hear_ready(made.state, each) for each in (older, older, newer, older)]

    assert new == [True, False, True, False]
    assert pending.readies() == (newer,)


def test_who_is_not_pending_is_not_ready() -> None:
    made, pending = grown(), Pending(STUB_SCHEME)
    pend(made, "new")

    assert not pending.hear_ready(made.state, ready(made, 1))
    assert pending.readies() == ()


def test_a_ready_is_dropped_when_its_block_is_too_old_or_its_member_is_admitted() -> None:
    made = grown()
    admitted, late = pend(made, "one"), pend(made, "another")
    pending = Pending(STUB_SCHEME)
    said = {number: ready(made, number) for number in (admitted, late)}
    for each in said.values():
        pending.hear_ready(made.state, each)
    carry(made, readies=(said[admitted],))

    pending.forget(made.in_force, made.state)
    after_admission = pending.readies()
    while made.state.height < said[late].statement.height + READY_WINDOW:
        made.add(made.build(view=9))
    pending.forget(made.in_force, made.state)

    assert after_admission == (said[late],)
    assert pending.readies() == ()


def test_a_wish_is_granted_once_and_the_oldest_gives_way() -> None:
    pending = Pending(STUB_SCHEME)
    wishes = [digest(f"operation {number}") for number in range(WISHES_MAX + 1)]
    for each in wishes:
        pending.wish(each)

    granted = [pending.granted(each) for each in wishes]

    assert granted == [False] + [True] * WISHES_MAX
    assert not pending.granted(wishes[-1])


def test_an_operation_is_proposed_by_those_approvals_that_are_a_quorum() -> None:
    """Every set of approvers, counted again in the plainest way; member 4 has no power."""
    made = stub_chain(1, of=contract(5))
    powers = {0: 2, 1: 3, 2: 3, 3: 4}
    validators = ValidatorSet(
        validators=tuple(Validator(member=each, power=power) for each, power in powers.items())
    )
    state = replace(made.state, validators=validators)
    operation = change(made, lambda terms: replace(terms, training_rounds=50))
    said = [approval(made, operation, each) for each in range(5)]

    for size in range(1, 6):
        for by in combinations(range(5), size):
            pending = Pending(STUB_SCHEME)
            for each in by:
                pending.hear(made.in_force, state, operation, said[each])

            operations, _ = pending.proposable(made.contract, state)

            counted = [each for each in by if each in powers]
            is_quorum = 3 * sum(powers[each] for each in counted) > 2 * sum(powers.values())
            found = [[one.signer for one in each.approvals] for each in operations]
            assert found == ([counted] if is_quorum else [])


def test_a_leave_needs_its_own_member_and_nobody_else() -> None:
    made = grown()

    for size in range(1, 5):
        for by in combinations(range(4), size):
            operations, _ = waiting(made, leave(made, 2), by=by).proposable(
                made.contract, made.state
            )
            found = [[one.signer for one in each.approvals] for each in operations]
            assert found == ([[2]] if 2 in by else [])


def test_no_more_is_proposed_than_a_block_can_carry() -> None:
    made = grown()
    pending = waiting(made, *joins(made, OPERATIONS_MAX + 2), by=range(4))

    operations, readies = pending.proposable(made.contract, made.state)

    ids = [operation_id(each.operation, made.state.chain_id) for each in operations]
    assert (len(ids), ids, readies) == (OPERATIONS_MAX, sorted(ids), ())
