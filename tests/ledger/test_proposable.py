"""What a proposer takes of the operations and READYs that wait (rules P13, P81)."""

from dataclasses import replace

from ledger.building import Draft, build_block
from ledger.genesis import Role
from ledger.operations import (
    EXPIRY_AHEAD_MAX,
    OPERATIONS_MAX,
    Agreed,
)
from ledger.proposable import proposable_operations, proposable_readies
from tests.support.ledger import (
    STUB_SCHEME,
    contract,
    stub_chain,
    with_roles,
)
from tests.support.members import (
    agreed,
    carrying,
    evict,
    go_on,
    grown,
    join,
    leave,
    pend,
    problems,
    ready,
)


def test_a_proposer_carries_what_is_valid_together() -> None:
    made = grown()
    others = [agreed(made, evict(made, each)) for each in range(4)]
    few = agreed(made, join(made, "few"), by=(0, 1))
    stranger = agreed(made, leave(made, 0), by=(0, 1, 2))
    late = agreed(
        made, replace(join(made, "late"), expiry=made.state.height + EXPIRY_AHEAD_MAX + 2)
    )

    chosen = proposable_operations(
        made.contract, made.state, [*others, few, stranger, late], scheme=STUB_SCHEME
    )

    assert few not in chosen
    assert late not in chosen
    assert len(chosen) == 3
    assert problems(made, carrying(made, chosen)) == []


def test_a_proposer_needs_the_approvals_of_a_quorum_and_of_nobody_else() -> None:
    made = stub_chain(3, of=with_roles(contract(5, trainer_budget=1), {4: Role.TRAINER}))
    operation = evict(made, 4)

    def chosen(*by: int) -> tuple[Agreed, ...]:
        waiting = [agreed(made, operation, by=by)]
        return proposable_operations(made.contract, made.state, waiting, scheme=STUB_SCHEME)

    assert chosen(0, 1, 4) == ()
    (found,) = chosen(4, 2, 1, 0)
    assert [each.signer for each in found.approvals] == [0, 1, 2]


def test_a_proposer_admits_who_is_pending_and_was_at_a_recent_block() -> None:
    made = grown()
    first, second = pend(made, "one"), pend(made, "two")
    old = ready(made, first)
    for _ in range(10):
        go_on(made, 1)
    fresh = [ready(made, second), ready(made, first), ready(made, 1)]

    assert proposable_readies(made.state, [old]) == ()
    assert [each.signer for each in proposable_readies(made.state, fresh)] == [first, second]
    taken_back = (agreed(made, evict(made, first)),)
    assert [each.signer for each in proposable_readies(made.state, fresh, taken_back)] == [second]


def test_a_draft_makes_the_block_with_operations_in_their_order() -> None:
    made = grown(7)
    number = pend(made, "new")
    chosen = tuple(agreed(made, evict(made, each)) for each in (5, 6))
    expected = carrying(made, chosen, (ready(made, number),))
    draft = Draft(
        view=0,
        kind=expected.header.kind,
        time_ms=expected.header.time_ms,
        haves=expected.haves,
        updates=expected.updates,
        last_certificate=made.certificate,
        results=expected.header.results,
        operations=expected.operations[::-1],
        readies=expected.readies,
    )

    assert build_block(made.contract, made.state, draft) == expected
    assert problems(made, expected) == []


def test_a_proposer_carries_no_more_operations_than_a_block_may_have() -> None:
    made = grown(7)
    waiting = [agreed(made, join(made, f"hospital {each}")) for each in range(OPERATIONS_MAX + 1)]

    chosen = proposable_operations(made.contract, made.state, waiting, scheme=STUB_SCHEME)

    assert len(chosen) == OPERATIONS_MAX
    assert problems(made, carrying(made, chosen)) == []
