"""The proof that a decided block included one member's update, and with what weight (rule P55).

A proof is a file that needs nothing but the genesis beside it. It holds

1. an anchor: a certified block, believed from the genesis, with the log of all ids up to its own;
2. the header of the proven block, and the path from its id to the root of that log;
3. the member's signed update header, and all that the block carried, whose root is the header's
   `updates_root`; and the state after the block, whose hash is the header's `state_root`: it says
   which key the member had, who may have joined or rotated its key since the genesis (rule P81).
   Nothing signed says how many updates there were. A path leaves that open, and so does a list of
   leaf hashes, in which the hash of an inner node can stand for all below it; only whole headers,
   which cannot be taken for inner nodes, show it;
4. if it was made for a known checkpoint, the path by which its log begins the anchor's.

The header says what became of the update: contribution weight and outlier flag. Signature and place
are checked; that weight and inclusion obey the rules is as certified by the quorum, which only an
audit of all blocks checks anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from ledger.anchors import Anchor, Anchored, check_anchor, make_anchor
from ledger.checkpoint import Checkpoint, check_checkpoint
from ledger.encoding import U64, Digest, Items
from ledger.errors import SignatureError
from ledger.genesis import Contract, chain_id
from ledger.keys import ED25519, SignatureScheme, verify
from ledger.kinds import MEMBERS_MAX
from ledger.membership import Membership, public_keys_at
from ledger.merkle import (
    Path,
    ProofError,
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
    root,
)
from ledger.records import (
    Block,
    BlockHeader,
    Contribution,
    Flag,
    QuorumCertificate,
    SignedUpdate,
    block_id,
    updates_root,
)
from ledger.state import State, apply, initial_state, state_root


class ProofVersion(IntEnum):
    """The format of a proof file."""

    FIRST = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLog:
    """A log that the checker knows from a checkpoint, and why it begins the anchor's."""

    size: U64
    root: Digest
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProof:
    """One update of one block; `known` is empty or holds one log. See the module's text."""

    version: ProofVersion
    anchor: Anchor
    header: BlockHeader
    log_path: Path
    update: SignedUpdate
    updates: Annotated[tuple[SignedUpdate, ...], Items(2 * MEMBERS_MAX)]
    state: State
    known: Annotated[tuple[KnownLog, ...], Items(1)]


DECODABLE: Final[tuple[object, ...]] = (Anchor, UpdateProof)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a checked proof shows; `membership` is that after the proven block."""

    header: BlockHeader
    membership: Membership
    update: SignedUpdate
    weight: int
    total_weight: int
    is_outlier: bool
    anchored: Anchored


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A valid ledger to prove something of: blocks 1 to H in order, the certificate of height H."""

    contract: Contract
    blocks: Sequence[Block]
    certificate: QuorumCertificate | None


def prove_update(
    chain: Chain, *, height: int, member: int, known: Checkpoint | None = None
) -> UpdateProof:
    """Return the proof that the block of a height included a member's update.

    The anchor is the last block.

    Args:
        chain: A ledger that an audit finds nothing wrong with.
        height: The block.
        member: The trainer.
        known: A checkpoint that whoever checks the proof already has.

    Raises:
        ProofError: If the ledger cannot show it; the text says why.
    """
    blocks = chain.blocks
    if not 1 <= height <= len(blocks):
        raise ProofError(f"expected a height from 1 to {len(blocks)}, got {height}")
    block = blocks[height - 1]
    _contribution(block.header, member)
    ids = [block_id(each.header) for each in blocks]
    (update,) = (each for each in block.updates if each.statement.trainer == member)
    return UpdateProof(
        version=ProofVersion.FIRST,
        anchor=make_anchor(chain.contract, blocks, chain.certificate, len(blocks)),
        header=block.header,
        log_path=prove_inclusion(ids, height - 1),
        update=update,
        updates=block.updates,
        state=_state_after(chain, height),
        known=() if known is None else (_known_log(ids, known),),
    )


def check_update_proof(
    contract: Contract,
    proof: UpdateProof,
    *,
    checkpoint: Checkpoint | None = None,
    scheme: SignatureScheme = ED25519,
) -> Proven:
    """Check a proof from the contract on; the numbers are those of the module's text.

    Args:
        contract: Of the genesis that the checker got from a founding member.
        proof: From anywhere.
        checkpoint: One that the checker got elsewhere: it must begin the proof's log.
        scheme: How signatures are checked.

    Raises:
        ProofError: At the first thing that does not hold.
    """
    # 1
    anchored = check_anchor(contract, proof.anchor, scheme=scheme)
    size = anchored.header.height
    # 2
    header = proof.header
    if header.chain_id != chain_id(contract):
        raise ProofError("the proven block is of another chain than the genesis")
    check_inclusion(
        block_id(header),
        index=header.height - 1,
        size=size,
        path=proof.log_path,
        expected_root=anchored.root,
    )
    # 3
    if updates_root(proof.updates) != header.updates_root:
        raise ProofError("the updates are not those of the proven block")
    if proof.update not in proof.updates:
        raise ProofError("the proven block does not carry this update")
    contribution = _contribution(header, proof.update.statement.trainer)
    _check_signed(proof, scheme)
    # 4
    for known in proof.known:
        check_consistency(
            first=known.size,
            first_root=known.root,
            second=size,
            second_root=anchored.root,
            path=known.path,
        )
    if checkpoint is not None:
        check_checkpoint(contract, checkpoint, scheme=scheme)
        _check_known(proof, anchored, checkpoint)
    return Proven(
        header=header,
        membership=proof.state.membership,
        update=proof.update,
        weight=contribution.weight,
        total_weight=sum(each.weight for each in header.results.contributions),
        is_outlier=contribution.flagged is Flag.OUTLIER,
        anchored=anchored,
    )


def _state_after(chain: Chain, height: int) -> State:
    state = initial_state(chain.contract)
    for block in chain.blocks[:height]:
        state = apply(chain.contract, state, block)
    return state


def _check_signed(proof: UpdateProof, scheme: SignatureScheme) -> None:
    update, header = proof.update, proof.header
    if (state_root(proof.state), proof.state.tip_id) != (header.state_root, block_id(header)):
        raise ProofError("the state is not the one after the proven block")
    keys = public_keys_at(proof.state.membership, proof.header.height)
    trainer = update.statement.trainer
    if trainer >= len(keys) or update.signer != trainer:
        raise ProofError(f"the update of trainer {trainer} is signed as member {update.signer}")
    if update.statement.height != proof.header.height:
        raise ProofError(f"the update is for height {update.statement.height}")
    try:
        verify(update, keys[trainer], chain_id=proof.header.chain_id, scheme=scheme)
    except SignatureError as error:
        raise ProofError(str(error)) from None


def _check_known(proof: UpdateProof, anchored: Anchored, checkpoint: Checkpoint) -> None:
    """The proof's anchor, or the log that it was made for, must be the checkpoint's."""
    logs = [(anchored.header.height, anchored.root)]
    logs += [(known.size, known.root) for known in proof.known]
    sizes = [size for size, _ in logs]
    if checkpoint.size not in sizes:
        raise ProofError(
            f"the checkpoint is of height {checkpoint.size}, the proof of {max(sizes)}; ask for "
            "a proof that was made with this checkpoint"
        )
    if (checkpoint.size, checkpoint.root) not in logs:
        raise ProofError(
            f"the checkpoint of height {checkpoint.size} is of another history than the proof: "
            "two certified ledgers of one chain; keep both and compare them"
        )


def _known_log(ids: Sequence[bytes], known: Checkpoint) -> KnownLog:
    if known.size > len(ids):
        raise ProofError(
            f"the checkpoint covers {known.size} blocks, this ledger has only {len(ids)}"
        )
    if root(ids[: known.size]) != known.root:
        raise ProofError(f"this ledger has other blocks up to {known.size} than the checkpoint")
    path = prove_consistency(ids, known.size)
    return KnownLog(size=known.size, root=known.root, path=path)


def _contribution(header: BlockHeader, member: int) -> Contribution:
    for each in header.results.contributions:
        if each.trainer == member:
            return each
    counted = ", ".join(str(each.trainer) for each in header.results.contributions) or "nobody"
    raise ProofError(
        f"block {header.height} counted no update of member {member}, but of {counted}"
    )
