"""The proposals of one height and their blocks (rules P33, P34, P37).

A block is kept with the proposal by which it came. Bounds: one proposal per view up to the next
one and per proposer beyond it, views long past forgotten, and the blocks that certificates name.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from consensus.messages import ProposalMessage
from ledger.keys import Signed
from ledger.records import Block, Proposal

PROPOSAL_VIEWS_KEPT: Final = 16
"""Views before the current one whose proposals are kept."""


class BlockStatus(IntEnum):
    """What is known about a block: each step towards VALID takes longer than the one before."""

    RECEIVED = 0
    SOUND = 1
    CHECKING = 2
    VALID = 3
    INVALID = 4


@dataclass(slots=True, kw_only=True)
class HeldBlock:
    """A block, the proposal by which it came, and what is known about it.

    `SOUND` blocks passed every check that needs no bodies, `VALID` ones were recomputed and their
    bodies are durable here (rule P13). `is_saved` says that block and proposal are durable.
    """

    offer: ProposalMessage
    status: BlockStatus = BlockStatus.RECEIVED
    reason: str = ""
    is_saved: bool = False

    @property
    def block(self) -> Block:
        """The block itself."""
        return self.offer.block


class Proposals:
    """Keeps the first proposal of each view, and blocks by id."""

    def __init__(self) -> None:
        self.of_view: dict[int, ProposalMessage] = {}
        self.blocks: dict[bytes, HeldBlock] = {}

    def add(self, offer: ProposalMessage, *, view: int, kept: frozenset[bytes]) -> bool:
        """Keep a checked proposal and its block.

        Args:
            offer: Signed by the proposer of its view.
            view: The view that this node is in.
            kept: Ids of blocks that certificates name: these are kept in any case.

        Returns:
            Whether anything new is kept.
        """
        proposal = offer.proposal.statement
        is_first = proposal.view not in self.of_view and proposal.view >= view - PROPOSAL_VIEWS_KEPT
        if is_first and proposal.view > view + 1:
            is_first = self._make_room(offer, view, kept)
        if not is_first and proposal.block_id not in kept:
            return False
        if is_first:
            self.of_view[proposal.view] = offer
        is_new_block = proposal.block_id not in self.blocks
        if is_new_block:
            self.blocks[proposal.block_id] = HeldBlock(offer=offer)
        return is_first or is_new_block

    def newest_of(self, member: int) -> Signed[Proposal] | None:
        """Return the newest proposal of a member that is kept (rule P60)."""
        views = [view for view, each in self.of_view.items() if each.proposal.signer == member]
        return self.of_view[max(views)].proposal if views else None

    def forget_before(self, view: int, kept: frozenset[bytes]) -> None:
        """Drop proposals of views long past, and blocks that nothing refers to any more."""
        for old in [each for each in self.of_view if each < view - PROPOSAL_VIEWS_KEPT]:
            del self.of_view[old]
        self._drop_unused(kept)

    def _make_room(self, offer: ProposalMessage, view: int, kept: frozenset[bytes]) -> bool:
        """Beyond the next view keep only the newest proposal of each proposer (rule P37)."""
        signer = offer.proposal.signer
        others = [
            other
            for other, each in self.of_view.items()
            if other > view + 1 and each.proposal.signer == signer
        ]
        if any(other > offer.proposal.statement.view for other in others):
            return False
        for other in others:
            del self.of_view[other]
        if others:
            self._drop_unused(kept)
        return True

    def _drop_unused(self, kept: frozenset[bytes]) -> None:
        used = kept | {each.proposal.statement.block_id for each in self.of_view.values()}
        for unused in [each for each in self.blocks if each not in used]:
            del self.blocks[unused]
