"""A flooder of a real network: besides what engines might keep, what hosts might."""

from collections.abc import Iterator
from secrets import token_bytes

from typing_extensions import override

from consensus.messages import EvidenceMessage, VoteMessage
from fednode.transport.base import Lane
from fednode.wire.channels import Channel
from fednode.wire.messages import ChannelMessage, PullRequestMessage, encode_plaintext
from fednode.wire.packets import BodyPacket, GranuleRange, PullRequest, encode_packet
from ledger.evidence import make_evidence
from tests.byzantine.actors.flooder import ID_BYTES, Flooder
from tests.byzantine.backstage import NodeStage
from tests.simulation.packets import Packet

BODY_BYTES = 2**20
PACKET_BYTES = 4 * 2**10


class WireFlooder(Flooder):
    """Garbage, packets of bodies that nobody announced, pull requests, keys, false evidence."""

    name = "wire_flooder"
    burst = 1
    packets = 1

    @override
    def heard(self, source: int, packet: Packet) -> None:
        due_ms = self._due_ms
        super().heard(source, packet)
        if self._due_ms == due_ms:
            return
        stage = self.stage
        assert isinstance(stage, NodeStage)
        topics = stage.node._parts.line.topics
        stage.shout(topics.control, token_bytes(PACKET_BYTES), Lane.CONTROL)
        for topic, plaintext in self._plaintexts(stage, packet):
            lane = Lane.BULK if topic == topics.bodies else Lane.CONTROL
            stage.shout(topic, stage.node._parts.line.seal(plaintext), lane)

    def _plaintexts(self, stage: NodeStage, packet: Packet) -> Iterator[tuple[str, bytes]]:
        topics = stage.node._parts.line.topics
        yield topics.control, token_bytes(PACKET_BYTES)
        for _ in range(self.packets):
            body = BodyPacket(
                body_id=token_bytes(ID_BYTES),
                total_bytes=BODY_BYTES,
                first=0,
                data=token_bytes(PACKET_BYTES),
            )
            yield topics.bodies, stage.node._parts.sender._keys.seal_push(encode_packet(body))
        target = stage.favourite
        request = PullRequest(
            height=stage.state.height + 1,
            responder=target,
            counter=2**40 + self.acts,
            body_id=stage.state.model_id,
            ranges=(GranuleRange(first=0, count=1),),
        )
        message = PullRequestMessage(request=stage.raw_sign(request))
        yield topics.requests(target), encode_plaintext(message)
        channel = Channel(
            membership_epoch=stage.state.height + self.acts % 100,
            made_ms=stage.now_ms() + self.acts,
            key=token_bytes(ID_BYTES),
        )
        yield topics.control, encode_plaintext(ChannelMessage(channel=stage.raw_sign(channel)))
        if isinstance(packet, VoteMessage):
            false = stage.raw_sign(self._vote(packet.vote.statement.phase, stage.state.height + 1))
            pair = make_evidence(packet.vote, false)
            yield topics.control, encode_plaintext(EvidenceMessage(evidence=pair))
