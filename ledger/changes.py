"""What operations and READYs do to members and terms, and why one cannot be carried (rule P81).

The operations of a block are applied one after another, ascending by id, after its evidence; each
is judged on what those before it left. `apply_operation` is total: what cannot be done is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledger.errors import ContractError
from ledger.evidence import validators_left
from ledger.genesis import Contract, Member
from ledger.genesis_rules import (
    block_size_problems,
    check_terms,
    feedback_problems,
    member_problems,
)
from ledger.keys import ED25519, SignatureScheme, Signed
from ledger.kinds import MEMBERS_MAX
from ledger.membership import (
    APPLIED_MAX,
    RETIRED_MAX,
    AppliedOperation,
    MemberRecord,
    Membership,
    RetiredKey,
    Standing,
    with_membership,
)
from ledger.operations import (
    EXPIRY_AHEAD_MAX,
    Agreed,
    ChangeTerms,
    Evict,
    Join,
    Leave,
    Operation,
    Ready,
    Rotate,
    contract_hash,
    operation_id,
    possession_bytes,
    with_terms,
)

if TYPE_CHECKING:
    from ledger.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an operation meets in a block of `height`.

    Attributes:
        contract: Any contract of the chain; members and terms are those of `membership`.
        membership: After the operations before it in the block.
        banned: After the block's evidence.
        height: Of the block that carries it.
        chain_id: The chain.
    """

    contract: Contract
    membership: Membership
    banned: tuple[int, ...]
    height: int
    chain_id: bytes

    @property
    def in_force(self) -> Contract:
        """The contract with the members and terms of this place."""
        return with_membership(self.contract, self.membership)


def next_place(contract: Contract, state: "State", banned: tuple[int, ...]) -> Place:
    """Return what the first operation of the block after `state` meets.

    Args:
        contract: That of the genesis or of any height.
        state: The parent state.
        banned: Who is banned after the evidence of the block.
    """
    return Place(
        contract=contract,
        membership=state.membership,
        banned=banned,
        height=state.height + 1,
        chain_id=state.chain_id,
    )


def places(place: Place, operations: Iterable[Agreed]) -> Iterator[tuple[Place, Agreed]]:
    """Yield each operation of a block with the place that it meets."""
    for each in operations:
        yield place, each
        place = apply_operation(place, each.operation)


def membership_after(
    place: Place, operations: Iterable[Agreed], readies: Iterable[Signed[Ready]]
) -> Membership:
    """Return members and terms after a block; the same object if nothing changed.

    Args:
        place: What the first operation meets.
        operations: Those of the block.
        readies: Those of the block; each admits its signer if that is pending.
    """
    for each in operations:
        place = apply_operation(place, each.operation)
    members = list(place.membership.members)
    for ready in readies:
        if ready.signer < len(members) and members[ready.signer].standing is Standing.PENDING:
            record = members[ready.signer]
            members[ready.signer] = replace(
                record, standing=Standing.ACTIVE, admitted=place.height, expiry=0
            )
    for number, record in enumerate(members):
        if record.standing is Standing.PENDING and record.expiry <= place.height:
            members[number] = _gone(record)
    after = place.membership
    applied = tuple(each for each in after.applied if each.expiry > place.height)
    if tuple(members) == after.members and applied == after.applied:
        return after
    return replace(after, members=tuple(members), applied=applied)


def apply_operation(place: Place, operation: Operation) -> Place:
    """Return the place that the next operation meets; the same one if this cannot be done."""
    before = place.membership
    after = _changed(place, before, operation)
    if not validators_left(with_membership(place.contract, after), place.banned):
        after = before
    done = AppliedOperation(
        operation_id=operation_id(operation, place.chain_id), expiry=operation.expiry
    )
    return replace(place, membership=replace(after, applied=(*before.applied, done)[-APPLIED_MAX:]))


def operation_problem(
    place: Place, operation: Operation, *, scheme: SignatureScheme = ED25519
) -> str | None:
    """Return why no block may carry an operation there, whoever approved it."""
    return (
        expiry_problem(place, operation)
        or replay_problem(place, operation)
        or subject_problem(place, operation)
        or key_problem(place, operation)
        or possession_problem(place, operation, scheme)
        or terms_problem(place, operation)
        or rest_problem(place, operation)
    )


def expiry_problem(place: Place, operation: Operation) -> str | None:
    """Return why an operation is too late, or would stay possible for too long.

    A JOIN that expires with the block that carries it would use up a member number for a key that
    nobody can admit.
    """
    first, last = place.height + isinstance(operation, Join), place.height + EXPIRY_AHEAD_MAX
    if first <= operation.expiry <= last:
        return None
    return f"expected an expiry from {first} to {last}, got {operation.expiry}"


def replay_problem(place: Place, operation: Operation) -> str | None:
    """Return why an operation was carried before."""
    own = operation_id(operation, place.chain_id)
    if any(each.operation_id == own for each in place.membership.applied):
        return f"operation {own.hex()[:8]} was carried before"
    return None


def subject_problem(place: Place, operation: Operation) -> str | None:
    """Return why there is not what an operation is about: another member or other terms."""
    if isinstance(operation, ChangeTerms):
        expected = contract_hash(place.in_force)
        if operation.contract_hash == expected:
            return None
        got = operation.contract_hash.hex()[:8]
        return f"expected the contract in force {expected.hex()[:8]}, got {got}"
    return None if isinstance(operation, Join) else _member_problem(place, operation)


def _member_problem(place: Place, operation: Leave | Evict | Rotate) -> str | None:
    members, number = place.membership.members, operation.member
    if number >= len(members):
        return f"member {number} is unknown"
    record = members[number]
    # Only the others can take back a JOIN: a pending key may say READY and nothing else.
    may_be_pending = isinstance(operation, Evict)
    allowed = (Standing.ACTIVE, Standing.PENDING) if may_be_pending else (Standing.ACTIVE,)
    if record.standing not in allowed:
        return f"member {number} is {record.standing.name.lower()}"
    if operation.admitted != record.admitted:
        admitted = f"member {number} was admitted at height {record.admitted}"
        return f"{admitted}, got {operation.admitted}"
    if number in place.banned and not isinstance(operation, Evict):
        return f"member {number} is banned"
    return None


def key_problem(place: Place, operation: Operation) -> str | None:
    """Return why a new key is none: the chain has seen it before, whoever held it."""
    if not isinstance(operation, Join | Rotate):
        return None
    known = place.membership.public_keys + tuple(
        each.public_key for each in place.membership.retired
    )
    if operation.public_key in known:
        return f"the key {operation.public_key.hex()[:8]} is or was that of a member"
    return None


def possession_problem(
    place: Place, operation: Operation, scheme: SignatureScheme = ED25519
) -> str | None:
    """Return why nobody is known to hold a new key."""
    if not isinstance(operation, Join | Rotate):
        return None
    message = possession_bytes(operation, place.chain_id)
    if scheme.is_valid(operation.public_key, message, operation.possession):
        return None
    return f"the proof of possession is not that of the key {operation.public_key.hex()[:8]}"


def terms_problem(place: Place, operation: Operation) -> str | None:
    """Return why members or terms after an operation could not be carried out."""
    match operation:
        case Join():
            return _join_problem(place, operation)
        case ChangeTerms():
            changed = with_terms(place.in_force, operation.terms)
            try:
                check_terms(changed)
            except ContractError as error:
                return "; ".join(str(error).splitlines())
            return _size_problem(with_terms(_expected(place), operation.terms))
        case Rotate() if len(place.membership.retired) >= RETIRED_MAX:
            return f"expected at most {RETIRED_MAX} rotations of keys on one chain"
        case _:
            return None


def rest_problem(place: Place, operation: Operation) -> str | None:
    """Return why an operation cannot be: nobody would be left to decide the next block."""
    after = _changed(place, place.membership, operation)
    if validators_left(with_membership(place.contract, after), place.banned):
        return None
    return "expected at least one validator to be left, got none"


def _join_problem(place: Place, operation: Join) -> str | None:
    members, name = place.membership.members, operation.name
    if len(members) >= MEMBERS_MAX:
        return f"expected at most {MEMBERS_MAX} member numbers on one chain"
    # A key is banned, not the organisation: with a new key it may come back under its name.
    taken = (
        each.standing is Standing.PENDING
        or (each.standing is Standing.ACTIVE and number not in place.banned)
        for number, each in enumerate(members)
        if each.member.name == name
    )
    if any(taken):
        return f"expected a name that no member has, got {name}"
    problem = next(member_problems("JOIN", _member(operation)), None)
    grown = _expected(place)
    grown = replace(grown, members=(*grown.members, _member(operation)))
    return problem or next(feedback_problems(grown), None) or _size_problem(grown)


def _expected(place: Place) -> Contract:
    """The contract in force as if everybody who is pending were admitted."""
    records = place.membership.members
    members = tuple(
        record.member if record.standing is Standing.PENDING else each
        for each, record in zip(place.in_force.members, records, strict=True)
    )
    return replace(place.in_force, members=members)


def _size_problem(contract: Contract) -> str | None:
    return next(block_size_problems(contract), None)


def _changed(place: Place, before: Membership, operation: Operation) -> Membership:
    """The membership after an operation, but for the list of what was applied."""
    members = list(before.members)
    match operation:
        case ChangeTerms():
            return replace(before, terms=operation.terms)
        case Join():
            record = MemberRecord(
                member=_member(operation),
                standing=Standing.PENDING,
                admitted=place.height,
                expiry=operation.expiry,
            )
            return replace(before, members=(*members, record)[:MEMBERS_MAX])
        case Leave() | Evict() | Rotate() if operation.member >= len(members):
            return before
        case Leave() | Evict():
            members[operation.member] = _gone(members[operation.member])
            return replace(before, members=tuple(members))
        case Rotate():
            return _rotated(place, before, operation)


def _rotated(place: Place, before: Membership, operation: Rotate) -> Membership:
    number, members = operation.member, list(before.members)
    record = members[number]
    old = RetiredKey(member=number, public_key=record.member.public_key, last_height=place.height)
    if len(before.retired) >= RETIRED_MAX:
        return before
    new = replace(record.member, public_key=operation.public_key)
    members[number] = replace(record, member=new)
    return replace(before, members=tuple(members), retired=(*before.retired, old))


def _gone(record: MemberRecord) -> MemberRecord:
    standing = Standing.GONE if record.was_admitted else Standing.LAPSED
    return replace(record, standing=standing, expiry=0)


def _member(operation: Join) -> Member:
    return Member(
        name=operation.name,
        public_key=operation.public_key,
        roles=operation.roles,
        samples=operation.samples,
    )
