"""Who has whose sender key: what to say to whom, and what opens (rule P90). Pure: time is an input.

The one who lacks a key asks for it: CHANNEL goes to everybody once, and then, until its SENDER is
there, to each member alone once in a rebroadcast period (rule P35). It goes to everybody again when
something comes under an unknown key: somebody may have drawn new keys unheard. Whoever hears a
CHANNEL answers with SENDER, at most once in `GIVE_PAUSE_MS` for each member, however many CHANNELs
it sends.

Nothing of an epoch outlives `enter`: what was sealed before opens no more.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from fednode.wire.channels import Channel, OwnKeys, SenderBox, is_low_order
from fednode.wire.counters import Counters
from fednode.wire.envelope import (
    HEADER_BYTES,
    KEY_BYTES,
    Keyring,
    NetworkKey,
    Opened,
    open_envelope,
    seal,
)

GIVE_PAUSE_MS: Final = 500
"""Between two SENDERs to one member, so that a flood of CHANNELs costs little (rule P37)."""

UNKNOWN_PAUSE_MS: Final = 10_000
"""Between two CHANNELs to everybody because something came under a key that nobody gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A statement to sign and send.

    Attributes:
        member: To whom; None for everybody.
        statement: The own CHANNEL, or a SENDER.
    """

    member: int | None
    statement: Channel | SenderBox


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """Keys out of a SENDER, and the channel of the member that sent it."""

    channel: Channel
    sender_key: NetworkKey
    answer_key: NetworkKey


@dataclass(slots=True)
class _Peer:
    """What is known of one member: bounded, whatever it sends (rule P37)."""

    ask_due_ms: int
    channel: Channel | None = None
    received: _Received | None = None
    give_due_ms: int | None = None
    gave_ms: int | None = None


NonceSource: TypeAlias = Callable[[int], bytes]


class SenderKeys:
    """The keys of bodies in the membership epoch in force.

    Args:
        own_member: This node's number.
        ask_period_ms: Tells how often it asks a member again for its keys.
        counters: Where refused statements are counted.
        nonce_source: Returns that many fresh random bytes.
    """

    def __init__(
        self,
        *,
        own_member: int,
        ask_period_ms: Callable[[], int],
        counters: Counters,
        nonce_source: NonceSource,
    ) -> None:
        self._member = own_member
        self._ask_period_ms = ask_period_ms
        self._counters = counters
        self._nonce_source = nonce_source
        self._own: OwnKeys | None = None
        self._channel = _NO_CHANNEL
        self._announced_ms = 0
        self._announce_due_ms: int | None = None
        self._peers: dict[int, _Peer] = {}
        self._ahead: dict[int, Channel] = {}
        self._keyring = Keyring(_NO_KEY)

    @property
    def own(self) -> OwnKeys:
        """The own keys of the epoch in force."""
        assert self._own is not None, "no epoch was entered"
        return self._own

    def enter(self, own: OwnKeys, members: Collection[int], *, now_ms: int) -> None:
        """Begin an epoch: forget every key of the one before.

        Args:
            own: This member's keys of the epoch, durable already.
            members: Members and pending members in force, the only ones who get keys.
            now_ms: Time on a monotonic clock.
        """
        self._own, self._channel = own, own.channel
        self._announce_due_ms = now_ms
        others = [member for member in members if member != self._member]
        ask_due_ms = now_ms + self._ask_period_ms()
        self._peers = {each: _Peer(ask_due_ms=ask_due_ms) for each in others}
        ahead, self._ahead = self._ahead, {}
        for member, channel in ahead.items():
            if channel.membership_epoch >= own.membership_epoch:
                self._learn(member, channel, is_request=True, now_ms=now_ms)
        self._rebuild_keyring()

    def due(self, now_ms: int) -> tuple[Outgoing, ...]:
        """Return what to sign and send now."""
        channel, out = self._channel, []
        if self._announce_due_ms is not None and self._announce_due_ms <= now_ms:
            self._announced_ms, self._announce_due_ms = now_ms, None
            out.append(Outgoing(member=None, statement=channel))
        for member, peer in self._peers.items():
            if peer.received is None and peer.ask_due_ms <= now_ms:
                peer.ask_due_ms = now_ms + self._ask_period_ms()
                out.append(Outgoing(member=member, statement=channel))
            if peer.give_due_ms is not None and peer.give_due_ms <= now_ms:
                assert peer.channel is not None
                peer.give_due_ms, peer.gave_ms = None, now_ms
                box = self.own.box_for(member, peer.channel)
                out.append(Outgoing(member=member, statement=box))
        return tuple(out)

    def on_channel(self, member: int, channel: Channel, *, now_ms: int) -> None:
        """Take a verified CHANNEL: its member wants the own keys."""
        self._learn(member, channel, is_request=True, now_ms=now_ms)

    def on_box(self, member: int, box: SenderBox, *, now_ms: int) -> None:
        """Take a verified SENDER: the keys of its member, if they are for this node and epoch."""
        self._learn(member, box.channel, is_request=False, now_ms=now_ms)
        peer = self._peers.get(member)
        if peer is None or peer.channel != box.channel:
            # Of another epoch or replaced: counted when its channel was looked at.
            return
        if box.recipient != self._member or box.recipient_channel != self._channel.key:
            self._counters.add("sender_for_another")
            return
        if peer.received is not None and peer.received.channel == box.channel:
            return
        keys = self.own.open_box(box, sender=member)
        if keys is None:
            self._counters.add("sender_does_not_open")
            return
        # An answer key is known to two members only, so what it seals has one author.
        peer.received = _Received(
            channel=box.channel,
            sender_key=NetworkKey(key=keys[0]),
            answer_key=NetworkKey(key=keys[1], owner=member),
        )
        self._rebuild_keyring()

    def lacking(self) -> tuple[int, ...]:
        """Return the members whose keys are not here, ascending."""
        return tuple(sorted(each for each, peer in self._peers.items() if peer.received is None))

    def can_read(self, member: int) -> bool:
        """Return whether what a member sends would open here."""
        peer = self._peers.get(member)
        return peer is not None and peer.received is not None

    def has_given(self, member: int) -> bool:
        """Return whether a member was sent the own keys in this epoch."""
        peer = self._peers.get(member)
        return peer is not None and peer.gave_ms is not None

    def seal_push(self, plaintext: bytes) -> bytes:
        """Seal for all members."""
        return self._sealed(plaintext, self.own.sender_key)

    def seal_answer(self, plaintext: bytes, member: int) -> bytes:
        """Seal for one member."""
        return self._sealed(plaintext, self.own.answer_key(member))

    def open(self, envelope: bytes) -> Opened | None:
        """Open what a member sealed; the owner is known for answers only.

        Returns:
            None for what this node itself pushed: a broker sends it back.

        Raises:
            DecodeError: If it is damaged, or under a key that this node does not have.
        """
        if envelope[1:HEADER_BYTES] == self._keyring.sealing_key.key_id:
            return None
        is_known = self._keyring.find(envelope[1:HEADER_BYTES]) is not None
        if not is_known and self._announce_due_ms is None:
            self._announce_due_ms = self._announced_ms + UNKNOWN_PAUSE_MS
        return open_envelope(envelope, self._keyring)

    def _sealed(self, plaintext: bytes, key: NetworkKey) -> bytes:
        return seal(plaintext, Keyring(key), nonce_source=self._nonce_source)

    def _learn(self, member: int, channel: Channel, *, is_request: bool, now_ms: int) -> None:
        """Take note of a member's channel; give it the own keys if it asks or is new."""
        peer = self._peers.get(member)
        if channel.membership_epoch > self.own.membership_epoch:
            self._keep_ahead(member, channel)
            return
        if peer is None or channel.membership_epoch < self.own.membership_epoch:
            self._counters.add("channel_not_in_force")
            return
        known = peer.channel
        if known != channel:
            if known is not None and known.made_ms >= channel.made_ms:
                self._counters.add("channel_replaced")
                return
            if is_low_order(channel.key):
                self._counters.add("channel_low_order")
                return
            peer.channel, peer.received = channel, None
            self._rebuild_keyring()
        elif not is_request:
            return
        if peer.give_due_ms is None:
            pause_end_ms = now_ms if peer.gave_ms is None else peer.gave_ms + GIVE_PAUSE_MS
            peer.give_due_ms = max(now_ms, pause_end_ms)

    def _keep_ahead(self, member: int, channel: Channel) -> None:
        """Keep one channel per member of an epoch that this node has not reached."""
        known = self._ahead.get(member)
        newest = (channel.membership_epoch, channel.made_ms)
        if known is None or (known.membership_epoch, known.made_ms) < newest:
            self._ahead[member] = channel

    def _rebuild_keyring(self) -> None:
        # From nothing: one member may name the key of another as its own, to have it forgotten. And
        # sender keys last: named as an answer key, one would name a wrong author.
        self._keyring = Keyring(self.own.sender_key)
        received = [peer.received for peer in self._peers.values() if peer.received is not None]
        for each in received:
            self._keyring.add(each.answer_key)
        for each in received:
            self._keyring.add(each.sender_key)


_NO_KEY: Final = NetworkKey(key=bytes(KEY_BYTES))
_NO_CHANNEL: Final = Channel(membership_epoch=0, made_ms=0, key=bytes(KEY_BYTES))
