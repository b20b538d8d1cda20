"""Operations: how members change who takes part, with which keys, under which terms (rule P81).

An operation takes effect at the height after the block that carries it. It names what it changes
and the last height of a block that may carry it, so that it can neither be replayed nor hit another
state than the one that its approvals meant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated, ClassVar, Final, TypeAlias, TypeVar

from ledger.encoding import (
    U8,
    U16,
    U32,
    U64,
    Digest,
    Items,
    Name,
    PublicKey,
    Signature,
    domain_tag,
    encode,
    encode_as,
)
from ledger.genesis import AggregationTerms, Contract, Limits, Timeouts
from ledger.keys import Key, Signed
from ledger.kinds import MEMBERS_MAX, OperationKind
from ledger.merkle import root

OPERATIONS_MAX: Final = 4
"""Operations that one block can carry."""
READIES_MAX: Final = 4
"""READYs that one block can carry."""
EXPIRY_AHEAD_MAX: Final = 1_000
"""Heights that the expiry of an operation may lie beyond the block that carries it."""
READY_WINDOW: Final = 10
"""A READY names a block at most so many heights below the one that carries it."""
NO_SIGNATURE: Final = bytes(64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What operations can change of a contract; the rest of it stays for good.

    Model, data, training, privacy and name are what the chain is about: another one of these is
    another chain.
    """

    aggregation: AggregationTerms
    byzantine_budget: U16
    trainer_budget: U16
    min_updates: U16
    max_staleness: U8
    training_rounds: U32
    timeouts: Timeouts
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Takes in a new member: its key becomes pending, and its own READY admits it.

    `possession` is a signature of the new key over `possession_bytes`.
    """

    KIND: ClassVar[OperationKind] = OperationKind.JOIN

    public_key: PublicKey
    name: Name
    roles: U8
    samples: U64
    expiry: U64
    possession: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A member goes; its own approval is enough. `admitted` is the height of its admission."""

    KIND: ClassVar[OperationKind] = OperationKind.LEAVE

    member: U16
    admitted: U64
    expiry: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """The others send a member away, or take back a JOIN that is pending."""

    KIND: ClassVar[OperationKind] = OperationKind.EVICT

    member: U16
    admitted: U64
    expiry: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """A member gets another key, of which `possession` is a signature."""

    KIND: ClassVar[OperationKind] = OperationKind.ROTATE

    member: U16
    admitted: U64
    public_key: PublicKey
    expiry: U64
    possession: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTerms:
    """Other terms instead of those of the contract in force, which `contract_hash` names."""

    KIND: ClassVar[OperationKind] = OperationKind.TERMS

    contract_hash: Digest
    terms: Terms
    expiry: U64


Operation: TypeAlias = Join | Leave | Evict | Rotate | ChangeTerms
WithKey: TypeAlias = Join | Rotate
"""Operations that bring a new key, whose possession they prove."""
WithKeyT = TypeVar("WithKeyT", Join, Rotate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A member's consent to one operation; it takes no slot, because it can contradict nothing."""

    TAG: ClassVar[str] = "oper/1"

    operation_id: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A pending member's statement that its node has the ledger up to a recent block."""

    TAG: ClassVar[str] = "ready/1"

    height: U64
    block_id: Digest


SignedApproval: TypeAlias = Signed[Approval]
SignedReady: TypeAlias = Signed[Ready]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """An operation with the approvals that it needs, ascending by signer."""

    operation: Operation
    approvals: Annotated[tuple[Signed[Approval], ...], Items(MEMBERS_MAX)]


DECODABLE: Final[tuple[object, ...]] = (Agreed, SignedApproval, SignedReady)


def terms_of(contract: Contract) -> Terms:
    """Return those terms of a contract that operations can change."""
    return Terms(
        aggregation=contract.aggregation,
        byzantine_budget=contract.byzantine_budget,
        trainer_budget=contract.trainer_budget,
        min_updates=contract.min_updates,
        max_staleness=contract.max_staleness,
        training_rounds=contract.training_rounds,
        timeouts=contract.timeouts,
        limits=contract.limits,
    )


def with_terms(contract: Contract, terms: Terms) -> Contract:
    """Return the contract with these terms instead of its own."""
    return replace(
        contract,
        aggregation=terms.aggregation,
        byzantine_budget=terms.byzantine_budget,
        trainer_budget=terms.trainer_budget,
        min_updates=terms.min_updates,
        max_staleness=terms.max_staleness,
        training_rounds=terms.training_rounds,
        timeouts=terms.timeouts,
        limits=terms.limits,
    )


def contract_hash(contract: Contract) -> bytes:
    """Return the 32 bytes by which `ChangeTerms` names the contract in force."""
    return sha256(domain_tag("terms/1") + encode(contract)).digest()


def operation_id(operation: Operation, chain_id: bytes) -> bytes:
    """Return the 32-byte id that approvals name."""
    return sha256(domain_tag("opid/1") + chain_id + encode(operation)).digest()


def possession_bytes(operation: WithKey, chain_id: bytes) -> bytes:
    """Return what the new key of an operation signs: all of it but the signature itself."""
    return domain_tag("own/1") + chain_id + encode(replace(operation, possession=NO_SIGNATURE))


def with_possession(operation: WithKeyT, key: Key, chain_id: bytes) -> WithKeyT:
    """Return an operation with the signature of its new key."""
    return replace(operation, possession=key.sign(possession_bytes(operation, chain_id)))


def sorted_operations(operations: Iterable[Agreed], chain_id: bytes) -> tuple[Agreed, ...]:
    """Return operations in the order of blocks: ascending by id."""
    return tuple(sorted(operations, key=lambda each: operation_id(each.operation, chain_id)))


def operations_root(operations: Sequence[Agreed], readies: Sequence[Signed[Ready]]) -> bytes:
    """Return the Merkle root over the operations and then the READYs of a block (rule P50).

    One is an array of two items and the other of three, so that no leaf can be read as the other.
    """
    leaves = [encode(each) for each in operations]
    return root(leaves + [encode_as(SignedReady, each) for each in readies])
