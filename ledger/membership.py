"""Who takes part, with which keys, under which terms: what operations change (rules P1, P81).

A member's number is its admission number, reserved by the JOIN and never given again. The contract
*in force* is the genesis contract with the members and terms of the state; the chain id stays that
of the genesis contract.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from ledger.encoding import U16, U64, Digest, Items, PublicKey
from ledger.genesis import Contract, Member
from ledger.kinds import MEMBERS_MAX
from ledger.operations import EXPIRY_AHEAD_MAX, OPERATIONS_MAX, Terms, terms_of, with_terms

if TYPE_CHECKING:
    from ledger.state import State

APPLIED_MAX: Final = OPERATIONS_MAX * (EXPIRY_AHEAD_MAX + 1)
"""Applied operations that a state can have to remember at once."""
RETIRED_MAX: Final = 1_024
"""Rotations of a chain in all: every key that was ever in force stays known."""


class Standing(IntEnum):
    """Where a member number stands."""

    ACTIVE = 1
    PENDING = 2
    """A JOIN was applied, its READY was not yet."""
    GONE = 3
    """It took part, and left or was evicted."""
    LAPSED = 4
    """It never took part: its JOIN expired or was taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """One member number and all that the chain knows about it.

    Attributes:
        member: Name, key in force, roles and samples, also of those who are gone.
        standing: Whether it takes part.
        admitted: Height of the block that admitted it, 0 for founders; while it is pending, and
            after that if it never was admitted, of the block with its JOIN.
        expiry: While pending the last height of a block that may carry its READY, else 0.
    """

    member: Member
    standing: Standing
    admitted: U64
    expiry: U64

    @property
    def was_admitted(self) -> bool:
        """Whether it takes part or did."""
        return self.standing in (Standing.ACTIVE, Standing.GONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredKey:
    """A key that a member had before: it signed for heights up to `last_height`."""

    member: U16
    public_key: PublicKey
    last_height: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedOperation:
    """An operation that a block carried, remembered until none may carry it again."""

    operation_id: Digest
    expiry: U64


# Not slotted: keys and members in force are asked for at every message.
@dataclass(frozen=True, kw_only=True)
class Membership:
    """Members and terms after a block; the same object from block to block until they change.

    Attributes:
        terms: The terms in force.
        members: By number, all that were ever pending or admitted.
        retired: Keys that were rotated away, oldest first.
        applied: Operations that could be replayed, oldest first.
        changed: Height of the last block that changed members, pending keys, roles or keys, 0 at
            first: what rule P90 calls the membership_epoch.
    """

    IS_KEPT_ENCODED: ClassVar[bool] = True

    terms: Terms
    members: Annotated[tuple[MemberRecord, ...], Items(MEMBERS_MAX)]
    retired: Annotated[tuple[RetiredKey, ...], Items(RETIRED_MAX)]
    applied: Annotated[tuple[AppliedOperation, ...], Items(APPLIED_MAX)]
    changed: U64

    @cached_property
    def public_keys(self) -> tuple[bytes, ...]:
        """The keys in force by member number, also of those who are pending or gone."""
        return tuple(each.member.public_key for each in self.members)

    @cached_property
    def in_force(self) -> tuple[Member, ...]:
        """The members of the contract in force; who is pending or gone has no role or sample."""
        return tuple(
            each.member
            if each.standing is Standing.ACTIVE
            else replace(each.member, roles=0, samples=0)
            for each in self.members
        )

    @property
    def pending(self) -> tuple[int, ...]:
        """The numbers of the members that may be admitted, ascending."""
        return tuple(
            number for number, each in enumerate(self.members) if each.standing is Standing.PENDING
        )


def initial_membership(contract: Contract) -> Membership:
    """Return the founding members and terms of the chain that `contract` founds."""
    founders = tuple(
        MemberRecord(member=each, standing=Standing.ACTIVE, admitted=0, expiry=0)
        for each in contract.members
    )
    return Membership(terms=terms_of(contract), members=founders, retired=(), applied=(), changed=0)


def contract_in_force(contract: Contract, state: "State") -> Contract:
    """Return the contract in force at the height after `state`.

    Members who are pending or gone are in it without roles and samples, so that numbers stay
    indices and everything that counts roles is right.

    Args:
        contract: That of the genesis, or one that was in force at any height of the chain.
        state: The state after the parent.
    """
    return with_membership(contract, state.membership)


def with_membership(contract: Contract, membership: Membership) -> Contract:
    """Return a contract with these members and terms instead of its own."""
    if contract.members is membership.in_force:
        return contract  # made by this function from the same membership
    return replace(with_terms(contract, membership.terms), members=membership.in_force)


def public_keys_at(membership: Membership, height: int) -> tuple[bytes, ...]:
    """Return the keys by member number that were in force at a height, the next one at most.

    Whoever was not a member then is in it with its first key: who had a role is another question.
    """
    if not membership.retired or membership.retired[-1].last_height < height:
        return membership.public_keys
    keys = list(membership.public_keys)
    first = bisect_left(membership.retired, height, key=lambda each: each.last_height)
    # Backwards, so that of several keys of one member the oldest that was still in force stays.
    for each in reversed(membership.retired[first:]):
        keys[each.member] = each.public_key
    return tuple(keys)
