"""Which of the operations and READYs that wait go into the next block (rules P13, P81).

A proposer is free to choose among them; what it chooses has to be valid together, in the order in
which a block carries it.
"""

from collections.abc import Iterable, Sequence

from ledger.changes import apply_operation, next_place, operation_problem
from ledger.evidence import banned_after
from ledger.genesis import Contract
from ledger.keys import ED25519, SignatureScheme, Signed
from ledger.membership import contract_in_force
from ledger.operation_checks import ready_problem
from ledger.operations import (
    OPERATIONS_MAX,
    READIES_MAX,
    Agreed,
    Approval,
    Evict,
    Leave,
    Operation,
    Ready,
    sorted_operations,
)
from ledger.records import Evidence
from ledger.state import State


def needed_approvals(
    state: State, operation: Operation, approvals: Iterable[Signed[Approval]]
) -> tuple[Signed[Approval], ...] | None:
    """Return those approvals that a block after `state` carries, None if they are too few.

    Args:
        state: The parent state.
        operation: What they approve.
        approvals: Of this operation, their signatures checked with the keys in force.
    """
    own = {each.signer: each for each in approvals}
    if isinstance(operation, Leave):
        return (own[operation.member],) if operation.member in own else None
    validators = state.validators
    counted = tuple(own[each] for each in validators.members if each in own)
    power = sum(validators.power_of(each.signer) for each in counted)
    return counted if validators.has_quorum(power) else None


def proposable_operations(
    contract: Contract,
    state: State,
    waiting: Iterable[Agreed],
    evidence: Sequence[Evidence] = (),
    *,
    scheme: SignatureScheme = ED25519,
) -> tuple[Agreed, ...]:
    """Return the operations of a valid block after `state`, ascending by id.

    Args:
        contract: That of the genesis or of any height.
        state: The parent state.
        waiting: Operations with the approvals that are known of each, checked.
        evidence: What the same block carries.
        scheme: How proofs of possession are checked.
    """
    contract = contract_in_force(contract, state)
    place = next_place(contract, state, banned_after(contract, state.banned, evidence))
    chosen: list[Agreed] = []
    for each in sorted_operations(waiting, state.chain_id):
        approvals = needed_approvals(state, each.operation, each.approvals)
        if approvals is None or operation_problem(place, each.operation, scheme=scheme):
            continue
        chosen.append(Agreed(operation=each.operation, approvals=approvals))
        place = apply_operation(place, each.operation)
        if len(chosen) == OPERATIONS_MAX:
            break
    return tuple(chosen)


def proposable_readies(
    state: State, waiting: Iterable[Signed[Ready]], operations: Sequence[Agreed] = ()
) -> tuple[Signed[Ready], ...]:
    """Return the READYs of a valid block after `state`, one per pending member, ascending.

    Args:
        state: The parent state.
        waiting: READYs whose signatures were checked with the pending keys.
        operations: What the same block carries: it may take back a JOIN.
    """
    taken_back = {each.operation.member for each in operations if isinstance(each.operation, Evict)}
    pending = set(state.membership.pending) - taken_back
    chosen = {
        each.signer: each
        for each in waiting
        if each.signer in pending and ready_problem(state, each) is None
    }
    return tuple(chosen[number] for number in sorted(chosen)[:READIES_MAX])
