"""Forgets what it locked, what a quorum prepared, and which certificate it claimed to have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from consensus.effects import BuildBlock
from consensus.messages import (
    CertificateMessage,
    HaveMessage,
    Message,
    ProposalMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.inclusion import EMPTY_VIEW_MIN, expected_kind
from ledger.records import FRESH, NIL, Phase, block_id
from ledger.state import block_time
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure
from tests.simulation.packets import Packet

if TYPE_CHECKING:
    from tests.simulation.world import World


class Amnesiac(Actor):
    """Keeps to itself what a quorum prepared, and does not keep to it either.

    As proposer it offers a fresh block, as voter it prepares whatever is newest.
    """

    name = "amnesiac"
    # Locks that matter need views that fail.
    conditions: ClassVar[Mapping[str, Any]] = MappingProxyType({"loss": 0.6, "faulty_ms": 120_000})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._haves: dict[int, HaveMessage] = {}
        self._updates: dict[tuple[int, bytes], UpdateMessage] = {}
        self._offers: dict[tuple[int, int], ProposalMessage] = {}

    @override
    def publish(self, message: Message) -> None:
        match message:
            case ProposalMessage():
                self.stage.say(self.forget(message))
            case VoteMessage() if message.reason.startswith("locked"):
                self._prepare_anyway(message)
            case CertificateMessage() if message.certificate.phase is Phase.PREPARE:
                # Nobody shall know of the quorum.
                pass
            case _:
                self.stage.say(message)

    @override
    def heard(self, source: int, packet: Packet) -> None:
        """Keep what a fresh block is made of, and what was proposed."""
        match packet:
            case HaveMessage():
                self._haves[packet.have.signer] = packet
            case UpdateMessage():
                header = packet.update.statement
                self._updates[header.trainer, header.update_id] = packet
            case ProposalMessage():
                offered = packet.proposal.statement
                self._offers[offered.height, offered.view] = packet
            case _:
                pass

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """Blocks of one height that a quorum committed."""
        del liars
        committed: dict[int, set[bytes]] = {}
        for phase, height, _, block in world.checkers.certificates:
            if phase is Phase.COMMIT and block != NIL:
                committed.setdefault(height, set()).add(block)
        most = max(map(len, committed.values()), default=0)
        return Measure(what="blocks certified at one height", value=most, limit=1)

    def _prepare_anyway(self, message: VoteMessage) -> None:
        """Prepare the block against which the lock speaks, and commit it at once."""
        nil = message.vote.statement
        offer = self._offers.get((nil.height, nil.view))
        if offer is None or nil.block_id != NIL:
            self.stage.say(message)
            return
        self.acts += 1
        offered = offer.proposal.statement
        prepare = replace(nil, block_id=offered.block_id, valid_view=offered.valid_view)
        commit = replace(prepare, phase=Phase.COMMIT, valid_view=FRESH)
        for vote in (prepare, commit):
            self.stage.say(VoteMessage(vote=self.stage.raw_sign(vote), reason=""))

    def forget(self, message: ProposalMessage) -> ProposalMessage:
        """Offer a fresh block where the protocol says to offer the one that a quorum prepared."""
        statement, stage = message.proposal.statement, self.stage
        height = stage.state.height + 1
        if statement.valid_view == FRESH or statement.height != height:
            return message
        self.acts += 1
        is_late = statement.view >= EMPTY_VIEW_MIN
        haves = tuple(
            self._haves[member].have
            for member in sorted(self._haves)
            if self._haves[member].have.statement.height == height and not is_late
        )
        updates = tuple(each.update for each in self._updates.values()) if haves else ()
        block = stage.make(
            BuildBlock(
                height=height,
                view=statement.view,
                kind=expected_kind(stage.contract, stage.state, statement.view, haves, updates),
                time_ms=block_time(stage.state, stage.now_ms()),
                haves=haves,
                updates=updates,
                last_certificate=next(iter(message.block.last_certificate), None),
            )
        )
        # Sometimes it claims that a quorum prepared the block before, without showing it.
        claimed = stage.rng.choice((FRESH, statement.valid_view))
        fresh = replace(statement, valid_view=claimed, block_id=block_id(block.header))
        return ProposalMessage(proposal=stage.raw_sign(fresh), block=block, certificate=())
