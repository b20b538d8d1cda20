"""A world with a member that shows certificates and evidence which nobody signed.

The simulator's liars say what they like under their own key. This one claims to show what others
said, for every block and every vote that it hears of.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Final

from typing_extensions import override

from consensus.effects import Halt
from consensus.messages import (
    CertificateMessage,
    EvidenceMessage,
    Message,
    ProposalMessage,
    VoteMessage,
)
from ledger.evidence import make_evidence
from ledger.keys import sign
from ledger.records import FRESH, Phase, QuorumCertificate, Vote
from tests.simulation.node import Node
from tests.simulation.packets import Packet
from tests.simulation.settings import Settings
from tests.simulation.world import World

LIAR: Final = 0
SIGNATURE_BYTES: Final = 64
WITHIN_MS: Final = 30_000
HEIGHTS: Final = 3


class Forger(Node):
    """Follows the protocol, and tells more than it knows."""

    @override
    def receive(self, source: int, packet: Packet) -> None:
        super().receive(source, packet)
        if isinstance(packet, ProposalMessage):
            self._claim_decision(packet)
        if isinstance(packet, VoteMessage) and packet.vote.signer != self.member:
            self._accuse(packet)

    @override
    def publish(self, message: Message) -> None:
        super().publish(message)
        if isinstance(message, ProposalMessage):
            self._claim_decision(message)

    @override
    def halt(self, effect: Halt) -> None:
        del effect
        self.leave()

    def _claim_decision(self, offer: ProposalMessage) -> None:
        """Show a quorum of false signatures, then the own one alone."""
        if self.engine is None:
            return
        proposal = offer.proposal.statement
        vote = Vote(
            phase=Phase.COMMIT,
            height=proposal.height,
            view=proposal.view,
            valid_view=FRESH,
            block_id=proposal.block_id,
        )
        count = len(self.state.validators.members)
        own = sign(vote, self.key, signer=self.member, chain_id=self.world.chain_id)
        for bits, signatures in (
            ((1 << count) - 1, (bytes(SIGNATURE_BYTES),) * count),
            (1 << LIAR, (own.signature,)),
        ):
            certificate = QuorumCertificate(
                phase=vote.phase,
                height=vote.height,
                view=vote.view,
                valid_view=vote.valid_view,
                block_id=vote.block_id,
                bitmap=bits.to_bytes(-(-count // 8), "little"),
                signatures=signatures,
            )
            self._tell(CertificateMessage(certificate=certificate))

    def _accuse(self, heard: VoteMessage) -> None:
        """Show a second vote of somebody who made only one."""
        vote = heard.vote
        false_id = sha256(vote.statement.block_id).digest()
        other = replace(vote, statement=replace(vote.statement, block_id=false_id))
        self._tell(EvidenceMessage(evidence=make_evidence(vote, other)))

    def _tell(self, message: Message) -> None:
        for target in self.world.honest:
            self.emit(target, message)


def run_forged(seed: int) -> None:
    """Run a calm network of four with a forger.

    Raises:
        ViolationError: If a promise is broken.
    """
    world = World(Settings(seed=seed, byzantine=((LIAR, "silent"),), heights=HEIGHTS))
    world.nodes[LIAR] = Forger(world, LIAR, world.nodes[LIAR].disk)
    world.start()
    world.heal()
    world.run_until(world.is_done, within_ms=WITHIN_MS)
    world.end()
