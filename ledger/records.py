"""The records of the protocol: what members sign, what blocks hold (rules P2, P12, P13, P50).

Members are named by their *number*: the order in which the chain admitted them, never re-used.
All tuples of records are in ascending member order, so that two nodes that mean the same write the
same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Annotated, ClassVar, Final, TypeAlias

from ledger.encoding import (
    I32,
    U16,
    U32,
    U64,
    Digest,
    Items,
    Name,
    Octets,
    OptionalDigest,
    Signature,
    domain_tag,
    encode,
    encoder,
)
from ledger.errors import DecodeError
from ledger.keys import Signed, signing_bytes
from ledger.kinds import MEMBERS_MAX, EvidenceKind, RecordKind
from ledger.merkle import root
from ledger.metrics import PATIENCE_MAX, MetricsReport, metrics_root
from ledger.operations import OPERATIONS_MAX, READIES_MAX, Agreed, Ready, operations_root
from ledger.shapes import check_ascending, set_bits
from ledger.slots import slotted

VALUE_MAX: Final = 2**24 - 1
"""Largest magnitude of a model or update value (rule P5); float32 holds it exactly."""
NIL: Final = b""
"""The block id in a vote for no block."""
FRESH: Final = -1
"""The valid view of a proposal that no PREPARE certificate stands behind."""
ZERO_DIGEST: Final = bytes(32)
EVIDENCE_MAX: Final = 4
"""Members that one block can convict: more than a network can have liars, in most (rule P45)."""
METRICS_MAX: Final = PATIENCE_MAX * MEMBERS_MAX
"""METRICS that a block may carry: of each member for each model still open to them (rule P16)."""


class Flag(IntEnum):
    """Whether an included update was an outlier (rules P40, P42)."""

    REGULAR = 0
    OUTLIER = 1


class BlockKind(IntEnum):
    """What a block does; the secure modes' kinds come with those modes (rule P70)."""

    AGGREGATE = 1
    EMPTY = 5


class Phase(IntEnum):
    """The two votes on a block."""

    PREPARE = 1
    COMMIT = 2


class Codec(IntEnum):
    """How the body of an update is written."""

    INT32 = 0


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHeader:
    """A trainer's statement that it offers one update for one height (rule P10).

    `training_round` is the one that it was trained for: one more than that of the parent state when
    it comes in time, less when it comes late.
    """

    TAG: ClassVar[str] = "update/1"

    trainer: U16
    height: U64
    training_round: U32
    base_model_id: Digest
    update_id: Digest
    codec: Codec
    n_elements: U64
    releases: U32


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class HaveEntry:
    """One update that a validator holds in full: its trainer and `header_digest` of its header."""

    trainer: U16
    header_digest: Digest


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class HaveList:
    """A validator's list of the updates that it holds in full, once per height (rule P11)."""

    TAG: ClassVar[str] = "have/1"

    height: U64
    entries: Annotated[tuple[HaveEntry, ...], Items(MEMBERS_MAX)]

    def __post_init__(self) -> None:
        """Refuse entries that are not strictly ascending by trainer."""
        trainers = [entry.trainer for entry in self.entries]
        check_ascending(trainers, "HAVE entries")


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A proposer's offer of one block in one view; `valid_view` is -1 for a fresh block."""

    TAG: ClassVar[str] = "prop/1"

    height: U64
    view: U32
    valid_view: I32
    block_id: Digest

    def __post_init__(self) -> None:
        """Refuse a valid view that is not before the view."""
        if not FRESH <= self.valid_view < self.view:
            expected = f"expected a valid_view in -1..{self.view - 1}"
            raise DecodeError(f"{expected}, got {self.valid_view}")


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A PREPARE or COMMIT for a block or for nil; equal votes have equal signed bytes (rule P34).

    `valid_view` is that of the proposal in a PREPARE for a block, else -1.
    """

    TAG: ClassVar[str] = "vote/1"

    phase: Phase
    height: U64
    view: U32
    valid_view: I32
    block_id: OptionalDigest

    def __post_init__(self) -> None:
        """Refuse a valid view where none belongs."""
        _check_valid_view(self)


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumCertificate:
    """More than two thirds of the power of a height's validators behind one vote.

    `bitmap` has bit `i` (least significant first in each byte) for the validator at position `i` of
    the height's set; `signatures` are theirs in ascending position. A certificate for nil exists
    only inside entry proofs.
    """

    KIND: ClassVar[RecordKind] = RecordKind.CERTIFICATE

    phase: Phase
    height: U64
    view: U32
    valid_view: I32
    block_id: OptionalDigest
    bitmap: Annotated[bytes, Octets(1, MEMBERS_MAX // 8)]
    signatures: Annotated[tuple[Signature, ...], Items(MEMBERS_MAX)]

    @property
    def vote(self) -> Vote:
        """The vote that every signer of this certificate signed."""
        return Vote(
            phase=self.phase,
            height=self.height,
            view=self.view,
            valid_view=self.valid_view,
            block_id=self.block_id,
        )

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of the signers in the height's validator set, ascending."""
        return set_bits(self.bitmap)

    def __post_init__(self) -> None:
        """Refuse an impossible vote and a bitmap that does not fit the signatures."""
        _check_valid_view(self)
        count = len(self.positions)
        if count != len(self.signatures):
            raise DecodeError(f"{count} bits in the bitmap, {len(self.signatures)} signatures")


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What became of one included update: its contribution weight and its outlier flag."""

    trainer: U16
    weight: U32
    flagged: Flag


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What the included updates made; voters recompute it from the bodies (rule P13)."""

    model_id: Digest
    optimizer_id: Digest
    contributions: Annotated[tuple[Contribution, ...], Items(MEMBERS_MAX)]


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHeader:
    """Everything a block says; its hash is the block id that members vote on (rule P50).

    `training_round` counts AGGREGATE blocks: the first one has number 1, and an EMPTY block keeps
    its parent's number. The parent of block 1 has the chain id as its id, and time 0.
    """

    version: U16
    chain_id: Digest
    height: U64
    training_round: U32
    kind: BlockKind
    parent_id: Digest
    time_ms: U64
    proposer: U16
    created_view: U32
    rule_id: Name
    rule_parameters_hash: Digest
    base_model_id: Digest
    results: Results
    updates_root: Digest
    haves_root: Digest
    metrics_root: Digest
    evidence_root: Digest
    operations_root: Digest
    last_certificate_hash: Digest
    validators_hash: Digest
    next_validators_hash: Digest
    state_root: Digest
    log_root: Digest


SignedUpdate: TypeAlias = Signed[UpdateHeader]
SignedHave: TypeAlias = Signed[HaveList]
SignedProposal: TypeAlias = Signed[Proposal]
SignedVote: TypeAlias = Signed[Vote]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleUpdate:
    """Two UPDATE headers of one trainer and height; `first` has the smaller bytes (rule P45)."""

    KIND: ClassVar[EvidenceKind] = EvidenceKind.UPDATE
    first: Signed[UpdateHeader]
    second: Signed[UpdateHeader]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleHave:
    """Two HAVE lists of one validator and height; `first` has the smaller bytes."""

    KIND: ClassVar[EvidenceKind] = EvidenceKind.HAVE
    first: Signed[HaveList]
    second: Signed[HaveList]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleProposal:
    """Two proposals of one validator, height and view; `first` has the smaller bytes."""

    KIND: ClassVar[EvidenceKind] = EvidenceKind.PROPOSAL
    first: Signed[Proposal]
    second: Signed[Proposal]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleVote:
    """Two votes of one validator, phase, height and view; `first` has the smaller bytes."""

    KIND: ClassVar[EvidenceKind] = EvidenceKind.VOTE
    first: Signed[Vote]
    second: Signed[Vote]


Evidence: TypeAlias = DoubleUpdate | DoubleHave | DoubleProposal | DoubleVote
"""Two statements with which a member accuses itself (rule P45)."""


# Not slotted: the roots are computed once per block, which receiving and checking it both ask for.
@dataclass(frozen=True, kw_only=True)
class Block:
    """A header with what its roots stand for, and the certificate of its parent.

    `last_certificate` is empty in block 1 and holds one COMMIT certificate after it (rule P51).
    `evidence` has at most one piece per member, ascending by the accused (rule P45), `operations`
    are ascending by id, `readies` by signer (rule P81), `metrics` by height and member (rule P16).
    """

    KIND: ClassVar[RecordKind] = RecordKind.BLOCK

    header: BlockHeader
    haves: Annotated[tuple[Signed[HaveList], ...], Items(MEMBERS_MAX)]
    updates: Annotated[tuple[Signed[UpdateHeader], ...], Items(2 * MEMBERS_MAX)]
    last_certificate: Annotated[tuple[QuorumCertificate, ...], Items(1)]
    evidence: Annotated[tuple[Evidence, ...], Items(EVIDENCE_MAX)]
    operations: Annotated[tuple[Agreed, ...], Items(OPERATIONS_MAX)]
    readies: Annotated[tuple[Signed[Ready], ...], Items(READIES_MAX)]
    metrics: Annotated[tuple[Signed[MetricsReport], ...], Items(METRICS_MAX)]

    @cached_property
    def updates_root(self) -> bytes:
        """The Merkle root of its signed headers, which its own header must name."""
        return updates_root(self.updates)

    @cached_property
    def haves_root(self) -> bytes:
        """The Merkle root of its signed HAVE lists, which its header must name."""
        return haves_root(self.haves)

    @cached_property
    def operations_root(self) -> bytes:
        """The Merkle root of its operations and READYs, which its header must name."""
        return operations_root(self.operations, self.readies)

    @cached_property
    def metrics_root(self) -> bytes:
        """The Merkle root of its METRICS, which its header must name."""
        return metrics_root(self.metrics)


DECODABLE: Final[tuple[object, ...]] = (
    Block,
    QuorumCertificate,
    SignedUpdate,
    SignedHave,
    SignedProposal,
    SignedVote,
)


@lru_cache(maxsize=256)
def block_id(header: BlockHeader) -> bytes:
    """Return the 32-byte id that votes name."""
    return sha256(domain_tag("block/1") + encode(header)).digest()


@lru_cache(maxsize=4096)  # each header is looked up many times while its height lasts
def header_digest(header: UpdateHeader, chain_id: bytes) -> bytes:
    """Return the hash by which HAVE lists name an update header: of its signed bytes (rule P11)."""
    return sha256(signing_bytes(header, chain_id)).digest()


_update_bytes: Final = encoder(SignedUpdate)
_have_bytes: Final = encoder(SignedHave)


def updates_root(updates: Sequence[Signed[UpdateHeader]]) -> bytes:
    """Return the Merkle root over the signed headers of a block."""
    return root(list(map(_update_bytes, updates)))


def haves_root(haves: Sequence[Signed[HaveList]]) -> bytes:
    """Return the Merkle root over the signed HAVE lists of a block."""
    return root(list(map(_have_bytes, haves)))


def _check_valid_view(vote: Vote | QuorumCertificate) -> None:
    is_free = vote.phase is Phase.PREPARE and vote.block_id != NIL
    latest = vote.view - 1 if is_free else FRESH
    if not FRESH <= vote.valid_view <= latest:
        what = (
            f"a {vote.phase.name} of view {vote.view} for {'a block' if vote.block_id else 'nil'}"
        )
        raise DecodeError(f"{what}: expected a valid_view in -1..{latest}, got {vote.valid_view}")
