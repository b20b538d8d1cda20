"""What members tell each other about the keys of bodies: CHANNEL and SENDER (rule P90).

Every member draws one seed per membership epoch. From it follow its *channel*, an X25519 key pair
to which others box their keys; its *sender key*, under which it seals what it pushes to everybody;
and one *answer key* for each member, under which it seals what only that member asked for. So a
sender key names no sender, because all members have it, and an answer key does.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final

import nacl.exceptions
import nacl.public
from nacl.bindings import crypto_scalarmult

from fednode.wire.envelope import KEY_BYTES, NetworkKey
from ledger.encoding import U16, U64, Digest, Octets, PublicKey

BOX_OVERHEAD_BYTES: Final = 48

_PERSON: Final = b"fednode/sender/1"
_MEMBER: Final = struct.Struct(">H")

BOX_BYTES: Final = _MEMBER.size + 2 * KEY_BYTES + BOX_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A member's key for one membership epoch, to which others box their sender keys.

    Attributes:
        membership_epoch: Height of the last block that changed who may read, 0 at first.
        made_ms: When the member drew its keys, by its clock. Of two channels of one member for one
            epoch the later counts, and of two with the same time the one that came first.
        key: The X25519 public key.
    """

    TAG: ClassVar[str] = "chan/1"

    membership_epoch: U64
    made_ms: U64
    key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderBox:
    """The keys of one member for one other: the message SENDER.

    Attributes:
        channel: The sender's own channel, so that the recipient can answer in kind.
        recipient: Number of the only member that can open the box.
        recipient_channel: The recipient's key to which it is boxed.
        box: The sender's number, its sender key and its answer key in a libsodium sealed box. The
            number is inside, so that nobody can sign another member's box as its own.
    """

    TAG: ClassVar[str] = "sender/1"

    channel: Channel
    recipient: U16
    recipient_channel: PublicKey
    box: Annotated[bytes, Octets(BOX_BYTES, BOX_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKeys:
    """All that a member keeps of one membership epoch; whoever has the seed has every key of it.

    Attributes:
        chain_id: The chain that the keys belong to.
        member: The member's number.
        membership_epoch: The epoch.
        made_ms: When they were drawn.
        seed: 32 random bytes, never shown.
    """

    chain_id: Digest
    member: U16
    membership_epoch: U64
    made_ms: U64
    seed: Digest = field(repr=False)

    @property
    def channel(self) -> Channel:
        """What everybody may know."""
        public = bytes(self._channel_secret().public_key)
        return Channel(membership_epoch=self.membership_epoch, made_ms=self.made_ms, key=public)

    @property
    def sender_key(self) -> NetworkKey:
        """Seals what is pushed to all members."""
        return NetworkKey(key=self._derived(b"sender"))

    def answer_key(self, recipient: int) -> NetworkKey:
        """Return the key that seals what only `recipient` asked for."""
        return NetworkKey(key=self._derived(b"answer" + _MEMBER.pack(recipient)))

    def box_for(self, recipient: int, channel: Channel) -> SenderBox:
        """Return the own keys for a member.

        Raises:
            ValueError: If the member's key is one of the few to which anybody can open boxes.
        """
        number = _MEMBER.pack(self.member)
        content = number + self.sender_key.key + self.answer_key(recipient).key
        try:
            box = nacl.public.SealedBox(nacl.public.PublicKey(channel.key)).encrypt(content)
        except nacl.exceptions.CryptoError:
            raise ValueError(f"no box can be sealed to {channel.key.hex()}") from None
        return SenderBox(
            channel=self.channel,
            recipient=recipient,
            recipient_channel=channel.key,
            box=bytes(box),
        )

    def open_box(self, box: SenderBox, *, sender: int) -> tuple[bytes, bytes] | None:
        """Return sender key and answer key of `sender`; None if the box does not hold such."""
        try:
            content = bytes(nacl.public.SealedBox(self._channel_secret()).decrypt(box.box))
        except nacl.exceptions.CryptoError:
            return None
        number, keys = content[: _MEMBER.size], content[_MEMBER.size :]
        return (keys[:KEY_BYTES], keys[KEY_BYTES:]) if number == _MEMBER.pack(sender) else None

    def _channel_secret(self) -> nacl.public.PrivateKey:
        return nacl.public.PrivateKey(self._derived(b"channel"))

    def _derived(self, purpose: bytes) -> bytes:
        state = hashlib.blake2b(purpose, key=self.seed, person=_PERSON, digest_size=KEY_BYTES)
        return state.digest()


def is_low_order(key: bytes) -> bool:
    """Return whether every exchange with an X25519 public key has the same, known result."""
    try:
        crypto_scalarmult(_ANY_SCALAR, key)
    except nacl.exceptions.CryptoError:
        return True
    return False


_ANY_SCALAR: Final = bytes(range(KEY_BYTES))

DECODABLE: Final[tuple[object, ...]] = (Channel, SenderBox, OwnKeys)
