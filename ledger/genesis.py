"""The contract that founds a network, and the genesis: the contract with its members' signatures.

Rule P1: the chain id is the hash of the contract without signatures. Numbers that training uses are
decimal text (no float has a canonical form); numbers that consensus uses are integers.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cached_property
from hashlib import sha256
from typing import Annotated, ClassVar, Final

from ledger.encoding import (
    I64,
    U8,
    U16,
    U32,
    U64,
    Characters,
    Digest,
    Items,
    Name,
    PublicKey,
    Signature,
    domain_tag,
    encode,
)
from ledger.kinds import MEMBERS_MAX, RecordKind
from ledger.tensors import TensorTable

CONTRACT_VERSION: Final = 1
FEATURES_MAX = 65_536
STALENESS_MAX: Final = 8
"""Most training rounds by which an update may come late (rule P10)."""
RULE_IDS: Final = ("mean", "nnm-geometric-median")
"""The rules of aggregation that there are; what they do is no matter of the ledger (rule P13)."""
Decimal = Annotated[str, Characters(32)]
Title = Annotated[str, Characters(200)]


class Role(IntFlag):
    """What a member may do."""

    TRAINER = 1
    VALIDATOR = 2
    HOLD_OUT = 4


# Plain integers: the operators of flags are slow, and roles are asked for at every message.
_TRAINER: Final = int(Role.TRAINER)
_VALIDATOR: Final = int(Role.VALIDATOR)
_HOLD_OUT: Final = int(Role.HOLD_OUT)


class Better(IntEnum):
    """Which values of the metric are better."""

    HIGHER = 0
    LOWER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One organisation of the contract; its number is its place in the list."""

    name: Name
    public_key: PublicKey
    roles: U8
    samples: U64

    @property
    def is_trainer(self) -> bool:
        """Whether the member may send updates."""
        return bool(self.roles & _TRAINER)

    @property
    def is_validator(self) -> bool:
        """Whether the member votes."""
        return bool(self.roles & _VALIDATOR)

    @property
    def has_hold_out(self) -> bool:
        """Whether the member keeps rows on which it judges each model (rule P16)."""
        return bool(self.roles & _HOLD_OUT)


# Not slotted: the number of elements is asked for at every header.
@dataclass(frozen=True, kw_only=True)
class ModelTerms:
    """The model: architecture, tensor table, and the initial parameters by seed and id."""

    architecture: Name
    tensors: TensorTable
    initial_seed: U64
    initial_model_id: Digest

    @cached_property
    def n_elements(self) -> int:
        """Number of values of the model and of every update."""
        return sum(tensor.size for tensor in self.tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One model input: what replaces a missing value, and how it is standardised.

    `(value - mean) / scale`; a missing value becomes `mean`. Both are decimal text.
    """

    name: Annotated[str, Characters(128)]
    mean: Decimal
    scale: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTerms:
    """The preprocessing schema that every member applies to its own rows."""

    label: Title
    positive: Title
    features: Annotated[tuple[Feature, ...], Items(FEATURES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTerms:
    """How trainers train; `learner_hash` binds the code that they bring."""

    optimizer: Name
    learning_rate: Decimal
    momentum: Decimal
    worker_momentum: Decimal
    batch_size: U32
    local_steps: U32
    seed: U64
    learner_hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleParameter:
    """A named integer of the aggregation rule."""

    name: Name
    value: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationTerms:
    """Mode and rule of aggregation."""

    mode: Name
    rule_id: Name
    parameters: Annotated[tuple[RuleParameter, ...], Items(16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Base waits of a height in milliseconds (rules P11, P14, P36); they grow by view."""

    collect_ms: U32
    collect_max_ms: U32
    have_grace_ms: U32
    propose_ms: U32
    prepare_ms: U32
    commit_ms: U32
    view_max_ms: U32
    rebroadcast_ms: U32
    clock_window_ms: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest sizes in bytes that members accept."""

    body_bytes_max: U64
    block_bytes_max: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackTerms:
    """How members with a hold-out judge models (rule P16); all 0 where there is no feedback.

    Attributes:
        metric: Name of the figure that the learner's evaluation gives.
        better: Which values of it are better.
        hold_out: Share of its rows that such a member never trains on, in millionths.
        patience: Regretted models in a row after which the base returns to the best one.
        tolerance: How much worse than the best model is regretted, in millionths of the metric.
    """

    metric: Name
    better: Better
    hold_out: U32
    patience: U16
    tolerance: U64


NO_FEEDBACK: Final = FeedbackTerms(
    metric="", better=Better.HIGHER, hold_out=0, patience=0, tolerance=0
)
"""The terms of a network without feedback: the last model is the best that anybody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continues:
    """The block of an earlier chain after which this one goes on, and the model then (rule P1)."""

    chain_id: Digest
    height: U64
    block_id: Digest
    model_id: Digest


# Not slotted: the number of trainers is asked for at every HAVE list.
@dataclass(frozen=True, kw_only=True)
class Contract:
    """The terms that every founding member signs (rule P1).

    `continues` is empty, or names the one chain that this one goes on from.
    """

    KIND: ClassVar[RecordKind] = RecordKind.CONTRACT

    version: U16
    name: Title
    members: Annotated[tuple[Member, ...], Items(MEMBERS_MAX)]
    model: ModelTerms
    data: DataTerms
    training: TrainingTerms
    aggregation: AggregationTerms
    feedback: FeedbackTerms
    privacy: Name
    byzantine_budget: U16
    trainer_budget: U16
    min_updates: U16
    max_staleness: U8
    training_rounds: U32
    timeouts: Timeouts
    limits: Limits
    continues: Annotated[tuple[Continues, ...], Items(1)] = ()

    @cached_property
    def n_trainers(self) -> int:
        """Number m of members that may send updates."""
        return sum(member.is_trainer for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class FounderSignature:
    """One founding member's consent to a contract."""

    member: U16
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """Block 0: a contract and the signatures of its members, in member order."""

    KIND: ClassVar[RecordKind] = RecordKind.GENESIS

    contract: Contract
    signatures: Annotated[tuple[FounderSignature, ...], Items(MEMBERS_MAX)]


DECODABLE: Final[tuple[object, ...]] = (Contract, Genesis)


def chain_id(contract: Contract) -> bytes:
    """Return the 32-byte id of the chain that `contract` founds (rule P1)."""
    return sha256(domain_tag("chain/1") + encode(contract)).digest()


def consent_bytes(contract: Contract) -> bytes:
    """Return what a founding member signs to consent to `contract`."""
    return domain_tag("found/1") + chain_id(contract)


def public_keys(contract: Contract) -> tuple[bytes, ...]:
    """Return the members' keys by member number."""
    return tuple(member.public_key for member in contract.members)


def updates_needed(contract: Contract) -> int:
    """Return how many included updates an AGGREGATE block takes (rule P15)."""
    return max(contract.min_updates, 2 * contract.trainer_budget + 1)
