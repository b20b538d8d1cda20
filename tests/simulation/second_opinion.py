"""Rules judged again by other means than the program's own functions.

What builds blocks and what checks them share code. A fault in it would be built in and waved
through, so these few promises are read off the blocks in the plainest way.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ledger.genesis import Contract
from ledger.powers import ValidatorSet
from ledger.records import (
    NIL,
    Block,
    BlockKind,
    HaveList,
    Phase,
    QuorumCertificate,
    Vote,
    block_id,
    header_digest,
)
from ledger.state import State
from tests.simulation.packets import ViolationError

if TYPE_CHECKING:
    from tests.simulation.disk import Disk

LATE_VIEW = 4


def judge_block(contract: Contract, parent: State, block: Block) -> None:
    """Judge what a decided block is made of.

    Raises:
        ViolationError: If it has too few HAVE lists, or an update that too few list (rule P12); if
            it is EMPTY without reason (rule P15), or counts somebody twice or who is banned (P45).
    """
    header = block.header
    powers = {each.member: each.power for each in parent.validators.validators}
    total = sum(powers.values())
    listed = sum(powers.get(each.signer, 0) for each in block.haves)
    is_late = header.created_view >= max(LATE_VIEW, contract.byzantine_budget + 1)
    may_be_bare = is_late or parent.training_round >= contract.training_rounds
    if not may_be_bare and not 3 * listed > 2 * total:
        raise ViolationError(f"height {header.height}: HAVE lists of {listed} of {total}")
    if is_late and header.kind is not BlockKind.EMPTY:
        raise ViolationError(f"height {header.height}: an aggregate of view {header.created_view}")
    for update in block.updates:
        key = update.statement.trainer, header_digest(update.statement, parent.chain_id)
        vouching = sum(
            powers.get(have.signer, 0) for have in block.haves if key in _entries(have.statement)
        )
        if 3 * vouching < total:
            text = f"update of member {key[0]} vouched for by {vouching} of {total}"
            raise ViolationError(f"height {header.height}: {text}")
    trainers = [each.trainer for each in header.results.contributions]
    if trainers != sorted(set(trainers)) or set(trainers) & set(parent.banned):
        raise ViolationError(f"height {header.height}: contributions of members {trainers}")


def judge_quorum(certificate: QuorumCertificate, validators: ValidatorSet) -> None:
    """Judge the power behind a certificate by which a block was decided.

    Raises:
        ViolationError: If it is not more than two thirds.
    """
    bits = int.from_bytes(certificate.bitmap, "little")
    powers = [each.power for place, each in enumerate(validators.validators) if bits >> place & 1]
    total = sum(each.power for each in validators.validators)
    if not 3 * sum(powers) > 2 * total or len(powers) != len(certificate.signatures):
        text = f"power {sum(powers)} of {total} decides height {certificate.height}"
        raise ViolationError(f"certificate: {text}")


def judge_durable(vote: Vote, blocks: Mapping[bytes, Block], disk: "Disk") -> None:
    """Judge whether a block was durable, with what it needs, before this vote for it (rule P60).

    Raises:
        ViolationError: If it was not.
    """
    block = blocks.get(vote.block_id)
    if vote.block_id == NIL or vote.phase is not Phase.PREPARE or block is None:
        return
    saved = {block_id(each.header) for _, each in disk.proposals(vote.height)}
    if vote.block_id not in saved:
        raise ViolationError(f"the block is not durable before the vote for it: {vote}")
    trainers = {each.trainer for each in block.header.results.contributions}
    needed = {
        each.statement.update_id for each in block.updates if each.statement.trainer in trainers
    }
    if block.header.kind is BlockKind.AGGREGATE and not needed <= disk.bodies:
        raise ViolationError(f"bodies are not durable before the vote for their block: {vote}")


def _entries(have: HaveList) -> set[tuple[int, bytes]]:
    return {(each.trainer, each.header_digest) for each in have.entries}
