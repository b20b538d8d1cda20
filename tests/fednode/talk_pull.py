"""Commands about one body that a member wants: what comes, whom it asks, and when."""

from typing import Final

from fednode.transport.backoff import backoff_ms
from fednode.wire.bodies import BodyReceiver, Outcome, ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.packets import GRANULE_BYTES, BodyPacket, GranuleRange, cut, leaf_hashes
from fednode.wire.pull import Missing, PullLimits, PullPlanner
from ledger.bodies import body_id
from tests.support.transcripts import Commands, Lines, Options

HELP: Final = """
body GRANULES [leaves]      member 0 wants the body of member 1, which 2 and 3 hold as well; leaves:
                            the hashes of its leaves came with the first packet
comes FIRST COUNT [from=M] [wrong]      granules of it: pushed by anybody, or an answer of a member
wait MS                     time goes on; whom it asks meanwhile
pauses N... [share=PERCENT] before so many attempts to connect again
"""
BODY_FROM: Final = 1
HOLDERS: Final = (2, 3)
TOLD: Final = {
    Outcome.STORED: "taken",
    Outcome.DUPLICATE: "nothing new",
    Outcome.REFUSED: "refused",
    Outcome.SPOILT: "something is wrong and missing again",
    Outcome.FULL: "it is all there, and wrong",
}


class PullTalk(Commands):
    """What member 0 has of a body."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.want(b"\0", has_leaves=False)

    def do_body(self, words: list[str], _: Options) -> Lines:
        size = int(words[0]) * GRANULE_BYTES
        self.want(bytes(range(256)) * (size // 256), has_leaves="leaves" in words)
        return ()

    def want(self, body: bytes, *, has_leaves: bool) -> None:
        """Begin to want a body; time begins with it."""
        self.now_ms, self.body, self.body_id = 0, body, body_id(body)
        self.leaves = leaf_hashes(body) if has_leaves else b""
        self.receiver = BodyReceiver(body_id_of=body_id, limits=ReceiverLimits, counters=Counters())
        self.plan = PullPlanner(
            own_member=0, limits=PullLimits(), first_counter=0, can_read=lambda _: True
        )
        self.receiver.expect(self.body_id, origin=BODY_FROM, total_bytes=len(body))
        responders = (BODY_FROM, *HOLDERS)
        self.plan.want(
            self.body_id, height=1, responders=responders, now_ms=0, total_bytes=len(body)
        )

    def do_comes(self, words: list[str], options: Options) -> Lines:
        first, count = int(words[0]), int(words[1])
        sender = int(options["from"]) if "from" in options else None
        body = bytes(len(self.body)) if "wrong" in words else self.body
        ranges = (GranuleRange(first=first, count=count),)
        for packet in cut(body, self.body_id, granules=count, ranges=ranges):
            yield self.accepted(packet, sender)

    def accepted(self, packet: BodyPacket, sender: int | None) -> str:
        """Take a packet as a node does, and say what became of it."""
        if self.leaves:
            total, hashes = packet.total_bytes, self.leaves
            carrier = BodyPacket(
                body_id=self.body_id, total_bytes=total, first=0, data=b"", leaves=hashes
            )
            self.receiver.accept(carrier, sender=None)
            self.leaves = b""
        outcome = self.receiver.accept(packet, sender=sender)
        if outcome is Outcome.FULL and self.receiver.complete(self.body_id) is not None:
            self.plan.done(self.body_id)
            return "the body is whole"
        refused = self.receiver.refused_senders(self.body_id)
        missing = Missing(ranges=self.receiver.missing(self.body_id), refused=refused)
        self.plan.progress(self.body_id, missing, now_ms=self.now_ms, sender=sender)
        told = TOLD[outcome]
        if refused:
            told += f"; no more from {' '.join(map(str, refused))}"
        if self.receiver.is_contested(self.body_id):
            told += "; one member at a time is believed"
        return told

    def do_wait(self, words: list[str], _: Options) -> Lines:
        end_ms = self.now_ms + int(words[0])
        while (due_ms := self.plan.next_due_ms()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            for request in self.plan.due(self.now_ms):
                self.receiver.restrict(self.body_id, sender=request.responder)
                parts = " ".join(f"{each.first}+{each.count}" for each in request.ranges)
                yield f"at {self.now_ms} ms it asks {request.responder} for {parts}"
        self.now_ms = end_ms

    def do_pauses(self, words: list[str], options: Options) -> Lines:
        share = int(options.get("share", "0")) / 100
        yield " ".join(f"{backoff_ms(int(word), share)} ms" for word in words)
