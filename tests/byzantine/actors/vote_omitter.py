"""Leaves one member's vote out of the certificates in its blocks, and its list too."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.effects import BuildBlock
from consensus.votes import votes_of
from ledger.certificates import make_certificate
from ledger.errors import CertificateError
from ledger.powers import ValidatorSet
from ledger.records import QuorumCertificate
from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.measures import Measure

if TYPE_CHECKING:
    from tests.simulation.world import World


class VoteOmitter(Actor):
    """A proposer may choose which valid certificate it carries: the smallest without its victim."""

    name = "vote_omitter"
    heights = 48

    @override
    def ordered(self, order: BuildBlock) -> BuildBlock:
        state, victim = self.stage.state, self.stage.favourite
        certificate = order.last_certificate
        if certificate is not None:
            certificate = without(certificate, victim, state.previous_validators)
        haves = tuple(each for each in order.haves if each.signer != victim)
        validators = state.validators
        if not validators.has_quorum(sum(validators.power_of(each.signer) for each in haves)):
            haves = order.haves
        self.acts += certificate != order.last_certificate
        return replace(order, last_certificate=certificate, haves=haves)

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """By how much an honest member's participation ever fell (rule P40), and absences."""
        states = world.checkers.states
        pairs = pairwise(states)
        fall = max(
            before.scores[member].participation - after.scores[member].participation
            for before, after in pairs
            for member in world.honest
        )
        victim = liars[0].stage.favourite
        absent = states[-1].scores[victim].absences.bit_count()
        return Measure(
            what="loss of participation by an honest member",
            value=max(0, fall),
            limit=0,
            note=f"left out of {absent} of the last 32 certificates",
        )


def without(
    certificate: QuorumCertificate, member: int, validators: ValidatorSet
) -> QuorumCertificate:
    """Return the certificate without a member's vote, as it is where that was needed."""
    votes = [each for each in votes_of(certificate, validators) if each.signer != member]
    try:
        return make_certificate(votes, validators)
    except CertificateError:
        return certificate
