"""Evidence: two signed statements with which a member accuses itself, and its effect (rule P45).

An honest member signs one UPDATE and one HAVE per height and one PROPOSAL, PREPARE and COMMIT per
view (rule P60), so two different ones at one place prove that its key is not used as it should be.
Nothing else convicts: no silence, no slowness, no wrong value.

Nobody's roles change between admission and the end of membership. So whoever has a role and is not
banned had it at every height since it was admitted, and the state need not keep the validators of
past heights (docs/adr/0019, docs/adr/0020). Statements are checked with the key of their height; a
ban is of the member's number, whichever key it has now.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, TypeAlias

from ledger.encoding import encode, encode_as
from ledger.errors import DecodeError
from ledger.genesis import Contract
from ledger.keys import Signed, StatementT
from ledger.membership import Membership
from ledger.merkle import root
from ledger.records import (
    DoubleHave,
    DoubleProposal,
    DoubleUpdate,
    DoubleVote,
    Evidence,
    HaveList,
    Proposal,
    UpdateHeader,
    Vote,
)

EVIDENCE_WINDOW: Final = 32
"""Heights, the block's own among them, of which a block takes evidence."""

Accusable: TypeAlias = UpdateHeader | HaveList | Proposal | Vote
"""The statements of which there is one per member, kind, height and view."""
Place: TypeAlias = tuple[int, str, int, int]
"""Member, kind, height and view (0 where there is one per height)."""


def make_evidence(one: Signed[Accusable], other: Signed[Accusable]) -> Evidence:
    """Return what two contradicting statements prove, in its only form.

    Raises:
        DecodeError: If they are of different kinds; whether they contradict is not looked at.
    """
    first, second = sorted((one, other), key=lambda each: encode(each.statement))
    match first.statement, second.statement:
        case UpdateHeader() as a, UpdateHeader() as b:
            return DoubleUpdate(first=_with(first, a), second=_with(second, b))
        case HaveList() as a, HaveList() as b:
            return DoubleHave(first=_with(first, a), second=_with(second, b))
        case Proposal() as a, Proposal() as b:
            return DoubleProposal(first=_with(first, a), second=_with(second, b))
        case Vote() as a, Vote() as b:
            return DoubleVote(first=_with(first, a), second=_with(second, b))
        case a, b:
            names = f"{type(a).__name__} and {type(b).__name__}"
            raise DecodeError(f"evidence: expected two statements of one kind, got {names}")


def place_of(signed: Signed[Accusable]) -> Place:
    """Return at which place there may be no other statement of its signer (rule P60)."""
    statement = signed.statement
    match statement:
        case UpdateHeader():
            return signed.signer, "UPDATE", statement.height, 0
        case HaveList():
            return signed.signer, "HAVE", statement.height, 0
        case Proposal():
            return signed.signer, "PROPOSAL", statement.height, statement.view
        case Vote():
            return signed.signer, statement.phase.name, statement.height, statement.view


def evidence_key(evidence: Evidence) -> Place:
    """Return the accused member, and where it contradicted itself."""
    return place_of(evidence.first)


def accused(evidence: Iterable[Evidence]) -> frozenset[int]:
    """Return the members that evidence accuses."""
    return frozenset(each.first.signer for each in evidence)


def evidence_text(evidence: Evidence) -> str:
    """Return what a piece of evidence shows, for people."""
    _, kind, height, view = evidence_key(evidence)
    return f"two different {kind} statements of height {height} view {view}"


def evidence_root(evidence: Sequence[Evidence]) -> bytes:
    """Return the Merkle root over the evidence of a block (rule P50)."""
    return root([encode_as(type(each), each) for each in evidence])


def place_problem(evidence: Evidence) -> str | None:
    """Return why two statements cannot contradict each other: another member, kind, place."""
    first, second = place_of(evidence.first), place_of(evidence.second)
    if first != second:
        return f"expected two statements at one place, got {_shown(first)} and {_shown(second)}"
    named = {
        each.statement.trainer
        for each in (evidence.first, evidence.second)
        if isinstance(each.statement, UpdateHeader)
    }
    if named - {first[0]}:
        return f"member {first[0]} signed the header of trainer {min(named - {first[0]})}"
    return None


def content_problem(evidence: Evidence) -> str | None:
    """Return why two statements are no contradiction: equal bytes, whatever the signatures."""
    first, second = encode(evidence.first.statement), encode(evidence.second.statement)
    if first == second:
        return "expected two different statements, got one twice"
    return None if first < second else "expected the statement with the smaller bytes first"


def height_problem(evidence: Evidence, height: int) -> str | None:
    """Return why a block of `height` cannot carry evidence: not yet known, or too long ago."""
    _, _, stated, _ = evidence_key(evidence)
    earliest = max(1, height + 1 - EVIDENCE_WINDOW)
    if earliest <= stated <= height:
        return None
    return f"expected statements of height {earliest} to {height}, got height {stated}"


def role_problem(contract: Contract, banned: Collection[int], evidence: Evidence) -> str | None:
    """Return why the accused could not make such a statement, or is convicted already.

    A HAVE list of more updates than there are members counts nowhere (rule P11), so that it
    contradicts nothing; and evidence has a bounded size.
    """
    member, kind, _, _ = evidence_key(evidence)
    members = len(contract.members)
    if member >= members:
        return f"member {member} is unknown"
    for each in (evidence.first.statement, evidence.second.statement):
        if isinstance(each, HaveList) and len(each.entries) > members:
            return f"a HAVE list of {len(each.entries)} updates, and there are {members} members"
    terms = contract.members[member]
    if not (terms.is_trainer if kind == "UPDATE" else terms.is_validator):
        return f"member {member} has no role in which it says {kind}"
    return f"member {member} is banned already" if member in banned else None


def admission_problem(membership: Membership, evidence: Evidence) -> str | None:
    """Return why the accused was no member yet at the height of its statements (rule P81)."""
    member, _, stated, _ = evidence_key(evidence)
    admitted = membership.members[member].admitted if member < len(membership.members) else 0
    if stated > admitted or not admitted:
        return None
    return f"member {member} was admitted at height {admitted}, its statements are of {stated}"


def validators_left(contract: Contract, banned: Collection[int]) -> list[int]:
    """Return the members that vote, ascending: those with the role that are not banned."""
    return [
        number
        for number, each in enumerate(contract.members)
        if each.is_validator and number not in banned
    ]


def banned_after(
    contract: Contract, banned: tuple[int, ...], evidence: Sequence[Evidence]
) -> tuple[int, ...]:
    """Return who is banned after a block with `evidence`, ascending.

    Evidence after which no validator would be left bans nobody: no block may carry it.
    """
    known = range(len(contract.members))
    together = {*banned, *(each for each in accused(evidence) if each in known)}
    return tuple(sorted(together)) if validators_left(contract, together) else banned


def _with(signed: Signed[Accusable], statement: StatementT) -> Signed[StatementT]:
    """Return a signed statement whose type is known."""
    return Signed(statement=statement, signer=signed.signer, signature=signed.signature)


def _shown(place: Place) -> str:
    member, kind, height, view = place
    return f"{kind} of member {member}, height {height} view {view}"
