"""A header believed from the genesis alone, without the blocks below it (rule P55).

Whoever has all blocks knows the validators of each height by `apply`. Whoever has only a few
headers goes from one to the next: the contract fixes the validators of height 1, and each *step* is
a header with the record of its own validators and the certificate that they made. A step

1. is of this chain and above the one before it, and its header names the hash of its validators
   and their keys;
2. has a COMMIT certificate for its block by a quorum of these validators, signed with these keys;
3. is the next height, and has the validators that the step before names for it; or is further up,
   and those of the step before that signed it *with the same keys* are a quorum of *their* height,
   too.

In 3 the first is what every member of the chain checks. The second rests on the same assumption:
liars hold less than a third of any set, so some honest validator signed, which had checked all of
the header, and with it the hash of its validators. Members come and go and keys rotate (rule P81):
a step whose certificate nobody trusted signed says nothing, whatever keys it brings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from ledger.certificates import check_certificate, signers
from ledger.encoding import Items, PublicKey
from ledger.errors import CertificateError, DecodeError
from ledger.genesis import Contract, chain_id
from ledger.keys import ED25519, SignatureScheme
from ledger.kinds import MEMBERS_MAX
from ledger.merkle import CompactRange, ProofError
from ledger.powers import ValidatorSet, validators_hash
from ledger.records import Block, BlockHeader, Phase, QuorumCertificate, block_id
from ledger.state import State, apply, initial_state

STEPS_MAX = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedHeader:
    """A header, the validators of its height with their keys, and the certificate of its block."""

    header: BlockHeader
    validators: ValidatorSet
    public_keys: Annotated[tuple[PublicKey, ...], Items(MEMBERS_MAX)]
    certificate: QuorumCertificate

    def __post_init__(self) -> None:
        """Refuse keys that are not one per validator, in their order."""
        if len(self.public_keys) != len(self.validators.validators):
            count = len(self.validators.validators)
            raise DecodeError(f"expected {count} keys of validators, got {len(self.public_keys)}")

    @property
    def keys(self) -> dict[int, bytes]:
        """The validators' keys by member number."""
        return dict(zip(self.validators.members, self.public_keys, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The way from the genesis to one certified block, and the log of the blocks before it."""

    steps: Annotated[tuple[CertifiedHeader, ...], Items(STEPS_MAX)]
    log: CompactRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """What a checked anchor shows: a decided block and the log of all ids up to its own.

    Attributes:
        header: The header of the block.
        signers: Numbers of the members whose COMMITs decided it.
        power: Their power.
        total_power: The power of all validators of that height.
        root: The RFC 6962 root over the ids of the blocks 1 to `header.height`.
    """

    header: BlockHeader
    signers: tuple[int, ...]
    power: int
    total_power: int
    root: bytes


def make_anchor(
    contract: Contract,
    blocks: Sequence[Block],
    certificate: QuorumCertificate | None,
    height: int,
) -> Anchor:
    """Return the anchor at a height of a valid ledger, with as few steps as bisection finds.

    Args:
        contract: The terms.
        blocks: Blocks 1 to H in order.
        certificate: The certificate of height H.
        height: From 1 to H.
    """
    assert 1 <= height <= len(blocks), f"no block of height {height} among {len(blocks)}"
    state = initial_state(contract)
    certified = []
    for block, following in zip(blocks[:height], (*blocks[1:], None), strict=False):
        own = certificate if following is None else following.last_certificate[0]
        assert own is not None, "a ledger with blocks has the certificate of the last"
        certified.append(
            CertifiedHeader(
                header=block.header,
                validators=state.validators,
                public_keys=_keys_of(state),
                certificate=own,
            )
        )
        state = apply(contract, state, block)
    return Anchor(steps=_few_steps(certified), log=state.log)


def check_anchor(
    contract: Contract, anchor: Anchor, *, scheme: SignatureScheme = ED25519
) -> Anchored:
    """Check every step of an anchor from the contract on, and its log.

    Raises:
        ProofError: If a step does not follow, is not certified, or the log is another.
    """
    if not anchor.steps:
        raise ProofError("expected at least one certified header, got none")
    before: CertifiedHeader | None = None
    for step in anchor.steps:
        _check_step(contract, before, step, scheme)
        before = step
    last = anchor.steps[-1]
    if (anchor.log.size, anchor.log.root()) != (last.header.height - 1, last.header.log_root):
        raise ProofError(f"height {last.header.height}: the log is not the one of its header")
    members = signers(last.certificate, last.validators)
    return Anchored(
        header=last.header,
        signers=members,
        power=sum(last.validators.power_of(member) for member in members),
        total_power=last.validators.total,
        root=anchor.log.append(block_id(last.header)).root(),
    )


def _check_step(
    contract: Contract,
    before: CertifiedHeader | None,
    step: CertifiedHeader,
    scheme: SignatureScheme,
) -> None:
    """The numbers are those of the module's text."""
    height = step.header.height
    where = f"height {height}"
    # 1
    below = before.header.height if before is not None else 0
    if step.header.chain_id != chain_id(contract):
        raise ProofError(f"{where}: a header of another chain than the genesis")
    if height <= below:
        raise ProofError(f"{where}: expected a header above height {below}")
    if validators_hash(step.validators, step.keys) != step.header.validators_hash:
        raise ProofError(f"{where}: the validators are not those that the header names")
    # 2
    _check_certified(step, scheme)
    # 3
    if before is None:
        founding = initial_state(contract)
        trusted, keys = founding.validators, dict(enumerate(founding.membership.public_keys))
        named = validators_hash(trusted, keys)
    else:
        trusted, keys = before.validators, before.keys
        named = before.header.next_validators_hash
    if height == below + 1:
        if step.header.validators_hash != named:
            raise ProofError(f"{where}: other validators than the step before names")
    elif not _is_believed_by(trusted, keys, step):
        raise ProofError(f"{where}: signed by no quorum of the validators of height {below or 1}")


def _check_certified(step: CertifiedHeader, scheme: SignatureScheme) -> None:
    header, certificate = step.header, step.certificate
    where = f"height {header.height}"
    expected = (Phase.COMMIT, header.height, block_id(header))
    if (certificate.phase, certificate.height, certificate.block_id) != expected:
        raise ProofError(f"{where}: the certificate is not one of COMMITs for this block")
    if certificate.view < header.created_view:
        raise ProofError(f"{where}: the certificate is of a view before the block was created")
    try:
        check_certificate(
            certificate, step.validators, step.keys, chain_id=header.chain_id, scheme=scheme
        )
    except CertificateError as error:
        raise ProofError(str(error)) from None


def _few_steps(certified: Sequence[CertifiedHeader]) -> tuple[CertifiedHeader, ...]:
    """From each step as far up as halving the way finds a header that can be believed from it."""
    steps: list[CertifiedHeader] = []
    height = 0
    while height < len(certified):
        last = steps[-1] if steps else certified[0]
        trusted, keys = last.validators, last.keys
        distance = len(certified) - height
        while distance > 1 and not _is_believed_by(trusted, keys, certified[height + distance - 1]):
            distance //= 2
        height += distance
        steps.append(certified[height - 1])
    return tuple(steps)


def _is_believed_by(
    trusted: ValidatorSet, keys: Mapping[int, bytes], step: CertifiedHeader
) -> bool:
    """Whether those of `trusted` that signed a step with the keys known of them are a quorum."""
    own = step.keys
    same = [
        member
        for member in signers(step.certificate, step.validators)
        if keys.get(member) == own[member]
    ]
    return trusted.has_quorum(sum(trusted.power_of(member) for member in same))


def _keys_of(state: State) -> tuple[bytes, ...]:
    """The keys of the validators of the height after `state`, in their order."""
    return tuple(state.membership.public_keys[each] for each in state.validators.members)
