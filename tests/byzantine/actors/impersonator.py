"""Speaks in the names of others: with its own signature, with theirs under other words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from typing_extensions import override

from consensus.messages import (
    BlocksRequest,
    BlocksRequestMessage,
    CertificateMessage,
    EvidenceMessage,
    HaveMessage,
    Message,
    Status,
    StatusMessage,
    UpdateMessage,
    VoteMessage,
)
from ledger.evidence import make_evidence
from ledger.keys import Signed, StatementT
from ledger.records import FRESH, Phase, QuorumCertificate
from tests.byzantine.actors.actor import Actor, Stage
from tests.byzantine.actors.measures import Measure
from tests.simulation.packets import Packet

if TYPE_CHECKING:
    from tests.simulation.world import World

FORGED_MAX = 2_000
STRANGER = 60_000
SIGNATURE_BYTES = 64


class Impersonator(Actor):
    """Forges for whatever it hears; it cannot sign for others, and so tries everything else."""

    name = "impersonator"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.forged: list[Message] = []

    @override
    def heard(self, source: int, packet: Packet) -> None:
        if source in self.stage.accomplices:
            return
        for message in self._forgeries(source, packet):
            if len(self.forged) < FORGED_MAX:
                self.forged.append(message)
            self.acts += 1
            self.stage.say(message)
        if isinstance(packet, VoteMessage) and packet.vote.statement.phase is Phase.COMMIT:
            self.stage.say(CertificateMessage(certificate=self._false_certificate(packet)))

    def _forgeries(self, source: int, packet: Packet) -> Iterator[Message]:
        match packet:
            case VoteMessage():
                vote = packet.vote
                false_id = sha256(b"false" + vote.statement.block_id).digest()
                other = replace(vote.statement, block_id=false_id)
                yield VoteMessage(vote=self._as(other, source), reason="")
                yield VoteMessage(vote=replace(vote, statement=other), reason="")
                yield VoteMessage(vote=self._as(other, STRANGER), reason="")
                # The honest vote with a false one: evidence against somebody who is innocent.
                pair = make_evidence(vote, replace(vote, statement=other))
                yield EvidenceMessage(evidence=pair)
            case HaveMessage():
                empty = replace(packet.have.statement, entries=())
                yield HaveMessage(have=self._as(empty, source))
                yield HaveMessage(have=replace(packet.have, statement=empty))
            case UpdateMessage():
                header = packet.update.statement
                other_header = replace(header, update_id=sha256(header.update_id).digest())
                yield UpdateMessage(update=self._as(other_header, source))
                yield UpdateMessage(update=replace(packet.update, statement=other_header))
            case StatusMessage():
                ahead = Status(height=2**32, block_id=bytes(32), sequence=2**32)
                yield StatusMessage(status=self._as(ahead, source))
                request = BlocksRequest(responder=source, from_height=1, counter=2**40)
                yield BlocksRequestMessage(request=self._as(request, self.stage.favourite))
            case _:
                pass

    def _as(self, statement: StatementT, member: int) -> Signed[StatementT]:
        """Sign with the own key under another member's number."""
        return replace(self.stage.raw_sign(statement), signer=member)

    def _false_certificate(self, packet: VoteMessage) -> QuorumCertificate:
        """A certificate by everybody, of which no signature is right."""
        vote, count = packet.vote.statement, len(self.stage.state.validators.members)
        return QuorumCertificate(
            phase=Phase.COMMIT,
            height=vote.height,
            view=vote.view,
            valid_view=FRESH,
            block_id=sha256(b"false").digest(),
            bitmap=((1 << count) - 1).to_bytes(-(-count // 8), "little"),
            signatures=(packet.vote.signature,) + (bytes(SIGNATURE_BYTES),) * (count - 1),
        )

    @override
    @classmethod
    def measure(cls, world: "World", liars: Sequence[Actor]) -> Measure:
        """Forgeries that a host lets in, and honest members that were accused by them."""
        let_in = sum(
            world.verify(message, world.checkers.state) is not None
            for actor in liars
            if isinstance(actor, Impersonator)
            for message in actor.forged
        )
        accused = len(world.checkers.accused | world.checkers.banned)
        return Measure(what="forgeries let in, members accused", value=let_in + accused, limit=0)
