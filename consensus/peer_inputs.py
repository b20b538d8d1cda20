"""Inputs that come from peers and belong to one height: what they are about, and who said them."""

from typing import TypeAlias

from consensus.effects import (
    EntryProofReceived,
    HaveReceived,
    ProposalReceived,
    UpdateHeld,
    UpdateReceived,
    VoteReceived,
)
from consensus.signer import SlotStatement
from ledger.keys import Signed

PeerInput: TypeAlias = (
    UpdateReceived
    | UpdateHeld
    | HaveReceived
    | ProposalReceived
    | VoteReceived
    | EntryProofReceived
)


def height_of(event: PeerInput) -> int:
    """Return the height that an input is about."""
    return (
        event.height if isinstance(event, EntryProofReceived) else _signed(event).statement.height
    )


def statements_of(event: PeerInput) -> tuple[Signed[SlotStatement], ...]:
    """Return the signed statements of an input: one, or the votes of an entry proof."""
    if isinstance(event, EntryProofReceived):
        return tuple(vote.signed for vote in event.votes)
    return (_signed(event),)


def _signed(
    event: UpdateReceived | UpdateHeld | HaveReceived | ProposalReceived | VoteReceived,
) -> Signed[SlotStatement]:
    match event:
        case UpdateReceived() | UpdateHeld():
            return event.update.signed
        case HaveReceived():
            return event.have.signed
        case ProposalReceived():
            return event.proposal.signed
        case VoteReceived():
            return event.vote.signed
