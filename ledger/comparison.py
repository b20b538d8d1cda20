"""Two ledgers side by side: where they first differ and how; who signed both ways (P28, P34, P45).

Nothing is checked here: `ledger.audit` says whether each ledger holds on its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from ledger.certificates import signers
from ledger.encoding import encode
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.powers import is_blocking
from ledger.records import Block, BlockHeader, QuorumCertificate, block_id
from ledger.state import apply, initial_state


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """One field of two blocks that differs, as text."""

    field: str
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDifference:
    """The first height at which two ledgers differ.

    `fields` is empty when one ledger ends before that height and the other goes on.
    """

    height: int
    left_height: int
    right_height: int
    fields: tuple[FieldDifference, ...]

    @property
    def is_fork(self) -> bool:
        """Whether both ledgers have a block of that height, and not the same."""
        return bool(self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleSigner:
    """A member whose COMMITs are in the certificates of two blocks of one height."""

    member: int
    power: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkEvidence:
    """What two certificates of different blocks of one height say.

    Attributes:
        height: The height of both.
        left_id: Id of the first block.
        right_id: Id of the second.
        left_view: The view in which the first was decided.
        right_view: That of the second.
        both: The members in both certificates.
        total_power: The power of all validators of that height.
    """

    height: int
    left_id: bytes
    right_id: bytes
    left_view: int
    right_view: int
    both: tuple[DoubleSigner, ...]
    total_power: int

    @property
    def power(self) -> int:
        """The power of those that signed both."""
        return sum(each.power for each in self.both)

    @property
    def is_a_third(self) -> bool:
        """Whether they hold a third of the power or more, as two quorums always do."""
        return is_blocking(self.power, self.total_power)

    @property
    def is_conclusive(self) -> bool:
        """Whether the two signatures alone convict: two COMMITs of one view contradict."""
        return self.left_view == self.right_view


def first_difference(left: Sequence[Block], right: Sequence[Block]) -> LedgerDifference | None:
    """Return where two ledgers, blocks 1 to H in order, first differ; None if they are equal."""
    for height, (one, other) in enumerate(zip(left, right, strict=False), start=1):
        if encode(one) != encode(other):
            return LedgerDifference(
                height=height,
                left_height=len(left),
                right_height=len(right),
                fields=tuple(_differences(one, other)),
            )
    if len(left) == len(right):
        return None
    shorter = min(len(left), len(right))
    return LedgerDifference(
        height=shorter + 1, left_height=len(left), right_height=len(right), fields=()
    )


def fork_evidence(
    contract: Contract,
    common: Sequence[Block],
    left: QuorumCertificate,
    right: QuorumCertificate,
) -> ForkEvidence:
    """Return who signed both of two certificates of the height after `common`.

    Args:
        contract: The terms.
        common: The blocks that both ledgers share, from 1 on.
        left: The COMMIT certificate of one block of the next height, checked.
        right: That of the other block, checked.
    """
    state = initial_state(contract)
    for block in common:
        state = apply(contract, state, block)
    validators = state.validators
    both = sorted(set(signers(left, validators)) & set(signers(right, validators)))
    return ForkEvidence(
        height=state.height + 1,
        left_id=left.block_id,
        right_id=right.block_id,
        left_view=left.view,
        right_view=right.view,
        both=tuple(
            DoubleSigner(member=member, power=validators.power_of(member)) for member in both
        ),
        total_power=validators.total,
    )


def _differences(left: Block, right: Block) -> Iterator[FieldDifference]:
    pairs = [("block id", block_id(left.header).hex(), block_id(right.header).hex())]
    for each in fields(BlockHeader):
        if each.name == "results":
            continue
        one, other = getattr(left.header, each.name), getattr(right.header, each.name)
        pairs.append((each.name, _shown(one), _shown(other)))
    for name in ("model_id", "optimizer_id"):
        one, other = getattr(left.header.results, name), getattr(right.header.results, name)
        pairs.append((f"results.{name}", _shown(one), _shown(other)))
    pairs.append(("results.contributions", _contributions(left), _contributions(right)))
    pairs.append(("haves of members", _members(left.haves), _members(right.haves)))
    pairs.append(("updates of members", _members(left.updates), _members(right.updates)))
    pairs.append(("operations", _operations(left), _operations(right)))
    pairs.append(("READYs of members", _members(left.readies), _members(right.readies)))
    pairs.append(("last certificate", _certificate(left), _certificate(right)))
    found = [pair for pair in pairs if pair[1] != pair[2]]
    # What is not listed above, such as a signature of a HAVE, still makes the bytes differ.
    for name, one_text, other_text in found or [("bytes", "other", "other")]:
        yield FieldDifference(field=name, left=one_text, right=other_text)


def _contributions(block: Block) -> str:
    shown = [
        f"{each.trainer}:{each.weight}{'!' if each.flagged else ''}"
        for each in block.header.results.contributions
    ]
    return " ".join(shown) or "none"


def _members(statements: Sequence[Signed[object]]) -> str:
    return " ".join(str(each.signer) for each in statements) or "none"


def _operations(block: Block) -> str:
    kinds = (type(each.operation).KIND.name for each in block.operations)
    return " ".join(kinds) or "none"


def _certificate(block: Block) -> str:
    for each in block.last_certificate:
        return f"view {each.view}, positions {' '.join(map(str, each.positions))}"
    return "none"


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return getattr(value, "name", None) or str(value)
