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


StatementInput: TypeAlias = (
    UpdateReceived | UpdateHeld | HaveReceived | ProposalReceived | VoteReceived
)
"""Those that are one statement of one member."""


def height_of(event: PeerInput) -> int:
    """Return the height that an input is about."""
    return (
        event.height if isinstance(event, EntryProofReceived) else signed_of(event).statement.height
    )


def signed_of(event: StatementInput) -> Signed[SlotStatement]:
    """Return the signed statement that an input is; the most frequent kinds come first."""
    match event:
        case VoteReceived():
            return event.vote.signed
        case UpdateReceived() | UpdateHeld():
            return event.update.signed
        case HaveReceived():
            return event.have.signed
        case ProposalReceived():
            return event.proposal.signed


def statements_of(event: PeerInput) -> tuple[Signed[SlotStatement], ...]:
    """Return all signed statements in an input."""
    if isinstance(event, EntryProofReceived):
        return tuple(each.signed for each in event.votes)
    return (signed_of(event),)
