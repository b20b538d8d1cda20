"""The numbered checks of a block's operations and READYs (rule P81); `ledger.validity` lists them.

Each looks at one thing, so that a forgery of that thing is found by one check.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

from ledger.changes import (
    Place,
    expiry_problem,
    key_problem,
    possession_problem,
    replay_problem,
    rest_problem,
    subject_problem,
    terms_problem,
)
from ledger.keys import Signed
from ledger.membership import Standing
from ledger.operations import Leave, Operation, Ready, operation_id
from ledger.state import State
from ledger.subject import Problems, Subject

Find = Callable[[Subject], Problems]


def operation_order(s: Subject) -> Problems:
    """Each operation once, in the order of their ids, which is the order of their effects."""
    ids = [operation_id(each.operation, s.state.chain_id) for each in s.block.operations]
    if any(one >= other for one, other in pairwise(ids)):
        yield "operations", "expected operations strictly ascending by id"


def _each(problem: Callable[[Place, Operation], str | None]) -> Find:
    def find(s: Subject) -> Problems:
        for number, (place, each) in enumerate(s.operations):
            text = problem(place, each.operation)
            if text is not None:
                yield f"operations[{number}]", text

    find.__name__ = problem.__name__
    return find


operation_expiry = _each(expiry_problem)
operation_replay = _each(replay_problem)
operation_subject = _each(subject_problem)
operation_key = _each(key_problem)
operation_terms = _each(terms_problem)
operation_rest = _each(rest_problem)


def operation_possession(s: Subject) -> Problems:
    """Whoever brings a new key holds it."""
    for number, (place, each) in enumerate(s.operations):
        text = possession_problem(place, each.operation, s.scheme)
        if text is not None:
            yield f"operations[{number}]", text


def approvers(s: Subject) -> Problems:
    """A LEAVE is approved by the member itself, everything else by validators of this height."""
    for number, each in enumerate(s.block.operations):
        signers = [approval.signer for approval in each.approvals]
        field = f"operations[{number}].approvals"
        if isinstance(each.operation, Leave):
            if signers != [each.operation.member]:
                yield field, f"expected that of member {each.operation.member}, got {signers}"
            continue
        if signers != sorted(set(signers)):
            yield field, f"expected one per validator in member order, got {signers}"
        for signer in signers:
            if s.state.validators.position_of(signer) is None:
                yield field, f"member {signer} is no validator of this height"


def approval_power(s: Subject) -> Problems:
    """Whatever is more than one member's own matter takes a quorum."""
    validators = s.state.validators
    for number, each in enumerate(s.block.operations):
        signers = {approval.signer for approval in each.approvals}
        power = sum(validators.power_of(signer) for signer in signers)
        if not isinstance(each.operation, Leave) and not validators.has_quorum(power):
            field = f"operations[{number}].approvals"
            yield field, f"power {power} of {validators.total} is no quorum"


def approval_subject(s: Subject) -> Problems:
    """Each approval is of this operation."""
    for number, each in enumerate(s.block.operations):
        own = operation_id(each.operation, s.state.chain_id)
        for approval in each.approvals:
            got = approval.statement.operation_id
            if got != own:
                field = f"operations[{number}].approvals[{approval.signer}]"
                yield field, f"expected one of {own.hex()[:8]}, got {got.hex()[:8]}"


def approval_signatures(s: Subject) -> Problems:
    """Approvals are signed with the keys in force."""
    for number, each in enumerate(s.block.operations):
        for approval in each.approvals:
            field = f"operations[{number}].approvals[{approval.signer}]"
            yield from s.signature_problem(approval, member=approval.signer, field=field)


def ready_order(s: Subject) -> Problems:
    """One READY per pending member, in member order."""
    signers = [each.signer for each in s.block.readies]
    if signers != sorted(set(signers)):
        yield "readies", f"expected one per pending member in member order, got {signers}"


def ready_member(s: Subject) -> Problems:
    """Only a pending member is admitted, and not if this block takes back its JOIN."""
    for ready in s.block.readies:
        # By what the operations of this block leave of those who were pending before it.
        was_pending = ready.signer in s.state.membership.pending
        if not was_pending or s.after.membership.members[ready.signer].standing is Standing.LAPSED:
            yield f"readies[{ready.signer}]", f"member {ready.signer} is not pending"


def ready_block(s: Subject) -> Problems:
    """A READY names a recent block, so that the newcomer's node was there."""
    for ready in s.block.readies:
        text = ready_problem(s.state, ready)
        if text is not None:
            yield f"readies[{ready.signer}]", text


def ready_signatures(s: Subject) -> Problems:
    """A READY is signed with the pending key."""
    for ready in s.block.readies:
        field = f"readies[{ready.signer}]"
        yield from s.signature_problem(ready, member=ready.signer, field=field)


def ready_problem(state: State, ready: Signed[Ready]) -> str | None:
    """Return why the block after `state` cannot carry what a READY says about a block."""
    named, members = ready.statement, state.membership.members
    since = members[ready.signer].admitted if ready.signer < len(members) else 0
    known = dict(_recent_blocks(state))
    if named.height < since or named.height not in known:
        first = max(since, min(known))
        return f"expected a block of height {first} to {state.height}, got {named.height}"
    if known[named.height] != named.block_id:
        return f"it names another block of height {named.height} than this chain has"
    return None


def _recent_blocks(state: State) -> Iterator[tuple[int, bytes]]:
    yield state.height, state.tip_id
    for below, block_id in enumerate(reversed(state.recent_ids), start=1):
        yield state.height - below, block_id


OPERATION_CHECKS: tuple[Find, ...] = (
    operation_order,
    operation_expiry,
    operation_replay,
    operation_subject,
    operation_key,
    operation_possession,
    operation_terms,
    operation_rest,
    approvers,
    approval_power,
    approval_subject,
    approval_signatures,
    ready_order,
    ready_member,
    ready_block,
    ready_signatures,
)
