"""The commands of the transport's transcripts: members on a broker in memory, with a set clock."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from consensus.effects import VoteReceived
from consensus.messages import VoteMessage
from fednode.inbox import ArrivedPacket, KeyNews, MessageInbox
from fednode.roster import Roster
from fednode.transport.base import Connected, Disconnected, Lane, Packet
from fednode.transport.memory import Link, MemoryHub, MemoryTransport
from fednode.wire.channels import Channel
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, NetworkKey, seal
from fednode.wire.messages import ChannelMessage, Encoded, SenderMessage, encode_plaintext
from fednode.wire.packets import BodyPacket, encode_packet
from fednode.wire.sender_keys import Outgoing, SenderKeys
from fednode.wire.topics import topics_of
from ledger.keys import Signed, StatementT, sign
from ledger.records import FRESH, NIL, Phase, Vote
from ledger.state import initial_state
from tests.fednode.talk_pull import PullTalk
from tests.support.ledger import STUB_SCHEME, contract, digest, stub_keys
from tests.support.sender_keys import Nonces, not_entered, own_keys
from tests.support.transcripts import Lines, Options

HELP: Final = """
members N                   nodes on one broker, which know the network key and each other
topics                      where they publish
lose FROM TO, mend          the broker carries nothing that way; it carries everything again
clock MS                    time goes on
say                         what all have to say about keys, until nobody has anything to say
epoch HEIGHT                a block changed the members: all draw new keys
push M, answer M TO         a packet of a body for all, or for the member that asked for it; the
                            broker hands it to everybody
bare M                      the same under the network key alone
again M                     the last packet once more, in a fresh envelope
vote M                      a vote, and who reads it
repeat, change              the broker repeats the last bytes; it changes one bit of them
queue                       a packet and then a vote wait for member 0, which takes them
stop, start                 the broker, as member 0 sees it
status M, newcomer          a retained status; who subscribes then receives what is retained
"""
ResultT = TypeVar("ResultT")


def done(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of something that never waits on a hub in memory."""
    try:
        work.send(None)
    except StopIteration as result:
        value: ResultT = result.value
        return value
    work.close()
    raise AssertionError("it waited")


@dataclass(slots=True)
class Home:
    """One member."""

    member: int
    transport: MemoryTransport
    keys: SenderKeys
    inbox: MessageInbox
    counters: Counters
    seen: dict[str, int] = field(default_factory=dict)

    def dropped(self) -> str:
        """Why what came last was not read."""
        now, before = dict(self.counters.all()), self.seen
        self.seen = now
        return " ".join(name for name, count in now.items() if count > before.get(name, 0))


class WireTalk(PullTalk):
    """Members, the broker between them, and a body that the first of them wants."""

    def __init__(self) -> None:
        super().__init__()
        self.contract = contract(4)
        self.state = initial_state(self.contract)
        self.signing = stub_keys(self.contract)
        self.network_key = Keyring(NetworkKey(key=digest("network key")))
        self.topics = topics_of(self.state.chain_id)
        self.hub = MemoryHub(hook=self.carried)
        self.lost: set[tuple[str, str]] = set()
        self.homes: list[Home] = []
        self.nonces = Nonces(99)
        self.inner = self.outer = b""

    def carried(self, link: Link) -> tuple[int, ...]:
        """The broker: nobody hears itself, and what is to be lost is lost."""
        way = link.sender, link.receiver
        return () if link.sender == link.receiver or way in self.lost else (0,)

    # --- who is there ---------------------------------------------------------------------------

    def do_members(self, words: list[str], _: Options) -> Lines:
        self.hub, self.homes, self.lost = MemoryHub(hook=self.carried), [], set()
        self.now_ms = 0
        for member in range(int(words[0])):
            counters = Counters()
            keys = not_entered(member, counters)
            inbox = MessageInbox(
                roster=Roster(self.contract, self.state),
                keyring=self.network_key,
                sender_keys=keys,
                counters=counters,
                scheme=STUB_SCHEME,
            )
            transport = MemoryTransport(self.hub, name=str(member))
            done(transport.__aenter__())
            for lane, topics in (
                (Lane.CONTROL, (self.topics.control, self.topics.requests(member))),
                (Lane.BULK, (self.topics.bodies, self.topics.answers(member))),
            ):
                done(transport.subscribe(topics, lane=lane))
            self.homes.append(Home(member, transport, keys, inbox, counters))
        self.enter(0)
        return ()

    def enter(self, membership_epoch: int) -> None:
        """All begin an epoch, with keys that they never had before."""
        for home in self.homes:
            own = own_keys(home.member, membership_epoch=membership_epoch)
            home.keys.enter(own, range(len(self.homes)), now_ms=self.now_ms)

    def do_topics(self, *_: object) -> Lines:
        hidden = self.topics.root.removeprefix("fednode/")
        assert hidden not in self.state.chain_id.hex(), "a part of the chain id"
        for topic in (self.topics.control, self.topics.bodies, self.topics.answers(2)):
            yield topic.replace(hidden, "<hash of the chain id>")

    def do_clock(self, words: list[str], _: Options) -> Lines:
        self.now_ms += int(words[0])
        return ()

    def do_lose(self, words: list[str], _: Options) -> Lines:
        self.lost.add((words[0], words[1]))
        return ()

    def do_mend(self, *_: object) -> Lines:
        self.lost.clear()
        return ()

    # --- keys of bodies -------------------------------------------------------------------------

    def do_say(self, *_: object) -> Lines:
        has_said = True
        while has_said:
            has_said = False
            for home in self.homes:
                for each in home.keys.due(self.now_ms):
                    has_said = True
                    yield self.said(home, each)
            for home in self.homes:
                self.hear(home)
        for home in self.homes:
            if home.keys.lacking():
                lacking = " ".join(map(str, home.keys.lacking()))
                yield f"{home.member} lacks the keys of {lacking}"

    def said(self, home: Home, outgoing: Outgoing) -> str:
        """Sign, seal and publish a statement about keys."""
        message: Encoded
        match outgoing.statement:
            case Channel() as channel:
                message, name = ChannelMessage(channel=self.signed(home, channel)), "CHANNEL"
            case box:
                message, name = SenderMessage(sender=self.signed(home, box)), "SENDER"
        to = outgoing.member
        topic = self.topics.control if to is None else self.topics.requests(to)
        self.publish(home, topic, self.sealed(encode_plaintext(message)), Lane.CONTROL)
        return f"{home.member} to {'all' if to is None else to}: {name}"

    def signed(self, home: Home, statement: StatementT) -> Signed[StatementT]:
        key, chain_id = self.signing[home.member], self.state.chain_id
        return sign(statement, key, signer=home.member, chain_id=chain_id)

    def sealed(self, plaintext: bytes) -> bytes:
        """Under the network key, with a fresh nonce."""
        return seal(plaintext, self.network_key, nonce_source=self.nonces)

    def publish(self, home: Home, topic: str, payload: bytes, lane: Lane) -> None:
        done(home.transport.publish(topic, payload, lane=lane))

    def hear(self, home: Home) -> list[str]:
        """Read what came; take keys, and say what the rest is."""
        heard = []
        for packet in taken(home.transport):
            match home.inbox.open(packet.payload):
                case KeyNews(statement=news):
                    if isinstance(news.statement, Channel):
                        home.keys.on_channel(news.signer, news.statement, now_ms=self.now_ms)
                    else:
                        home.keys.on_box(news.signer, news.statement, now_ms=self.now_ms)
                case ArrivedPacket(sender=sender):
                    author = "somebody" if sender is None else sender
                    heard.append(f"{home.member} reads a packet from {author}")
                case VoteReceived(vote=vote):
                    heard.append(f"{home.member} reads a vote of {vote.signer}")
                case _:
                    heard.append(f"{home.member} drops it: {home.dropped()}")
        return heard

    def do_epoch(self, words: list[str], _: Options) -> Lines:
        self.enter(int(words[0]))
        return ()

    # --- packets --------------------------------------------------------------------------------

    def do_push(self, words: list[str], _: Options) -> Lines:
        self.inner = self.homes[int(words[0])].keys.seal_push(_packet())
        return self.do_again(words)

    def do_answer(self, words: list[str], _: Options) -> Lines:
        self.inner = self.homes[int(words[0])].keys.seal_answer(_packet(), int(words[1]))
        return self.do_again(words)

    def do_bare(self, words: list[str], _: Options) -> Lines:
        self.inner = _packet()
        return self.do_again(words)

    def do_again(self, words: list[str], _: Options | None = None) -> Lines:
        home = self.homes[int(words[0])]
        self.publish(home, self.topics.bodies, self.sealed(self.inner), Lane.BULK)
        return self.heard()

    def do_vote(self, words: list[str], _: Options) -> Lines:
        self.vote(self.homes[int(words[0])])
        return self.heard()

    def vote(self, home: Home) -> None:
        """Publish a vote for nil."""
        vote = Vote(phase=Phase.COMMIT, height=1, view=0, valid_view=FRESH, block_id=NIL)
        message = VoteMessage(vote=self.signed(home, vote), reason="")
        self.outer = self.sealed(encode_plaintext(message))
        self.publish(home, self.topics.control, self.outer, Lane.CONTROL)

    def heard(self) -> Lines:
        """What all make of what came to them."""
        return [line for home in self.homes for line in self.hear(home)]

    def do_repeat(self, *_: object) -> Lines:
        topic, payload = self.topics.control, self.outer
        packet = Packet(topic=topic, payload=payload, retained=False, lane=Lane.CONTROL)
        self.hub.route("the broker", packet, retain=False)
        return self.heard()

    def do_change(self, *_: object) -> Lines:
        self.outer = self.outer[:-1] + bytes([self.outer[-1] ^ 1])
        return self.do_repeat()

    def do_queue(self, *_: object) -> Lines:
        home = self.homes[1]
        packet = self.sealed(home.keys.seal_push(_packet()))
        self.publish(home, self.topics.bodies, packet, Lane.BULK)
        self.vote(home)
        return self.hear(self.homes[0])

    # --- the broker -----------------------------------------------------------------------------

    def do_stop(self, *_: object) -> Lines:
        self.hub.stop()
        return self.events()

    def do_start(self, *_: object) -> Lines:
        self.hub.start()
        return self.events()

    def events(self) -> Lines:
        """What the transport of member 0 tells it."""
        inbox = self.homes[0].transport.inbox
        for event in [inbox._events.popleft() for _ in range(len(inbox._events))]:
            match event:
                case Connected(lane=lane, is_reconnect=is_again):
                    yield f"{lane.value}: connected{' again' if is_again else ''}"
                case Disconnected(lane=lane, reason=reason):
                    yield f"{lane.value}: {reason}"

    def do_status(self, words: list[str], _: Options) -> Lines:
        home = self.homes[int(words[0])]
        topic, before = self.topics.status(home.member), home.transport.dropped_outgoing
        done(home.transport.publish(topic, b"status", lane=Lane.CONTROL, retain=True))
        if home.transport.dropped_outgoing > before:
            yield "it is not sent, nor kept to be sent"

    def do_newcomer(self, *_: object) -> Lines:
        transport = MemoryTransport(self.hub, name="newcomer")
        done(transport.subscribe((self.topics.every_status,), lane=Lane.CONTROL))
        packets = taken(transport)
        for packet in packets:
            yield f"status of {packet.topic.rsplit('/', 1)[-1]}, retained"
        if not packets:
            yield "no status is retained"


def taken(transport: MemoryTransport) -> list[Packet]:
    """All packets that wait, in the order in which a node takes them."""
    return [*iter(transport.inbox._take, None)]


def _packet() -> bytes:
    packet = BodyPacket(body_id=digest("body"), total_bytes=4, first=0, data=b"data")
    return encode_packet(packet)
