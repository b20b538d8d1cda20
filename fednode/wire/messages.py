"""The plaintext of an envelope: a message, or an envelope with a packet of a body (rule P90)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, TypeAlias

from consensus import messages as consensus
from fednode.wire.channels import Channel, SenderBox
from fednode.wire.envelope import ENVELOPE_VERSION
from fednode.wire.packets import PullRequest
from ledger.encoding import decode, encode_as, pack, pack_encoded
from ledger.errors import DecodeError
from ledger.keys import Signed


class WireKind(IntEnum):
    """First item of the messages that only the transport needs."""

    PULL_REQUEST = 64
    CHANNEL = 65
    SENDER = 66


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestMessage:
    """A signed request for parts of a body (rule P91)."""

    KIND: ClassVar[WireKind] = WireKind.PULL_REQUEST

    request: Signed[PullRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMessage:
    """A member's signed key for others to box theirs to; it asks for theirs (rule P90)."""

    KIND: ClassVar[WireKind] = WireKind.CHANNEL

    channel: Signed[Channel]


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderMessage:
    """A member's signed and boxed keys for one other (rule P90)."""

    KIND: ClassVar[WireKind] = WireKind.SENDER

    sender: Signed[SenderBox]


WireMessage: TypeAlias = PullRequestMessage | ChannelMessage | SenderMessage
Encoded: TypeAlias = consensus.Message | WireMessage

DECODABLE: Final[tuple[type[Encoded], ...]] = (
    consensus.UpdateMessage,
    consensus.HaveMessage,
    consensus.ProposalMessage,
    consensus.VoteMessage,
    consensus.CertificateMessage,
    consensus.EntryProofMessage,
    consensus.StatusMessage,
    consensus.BlocksRequestMessage,
    consensus.BlocksMessage,
    consensus.ProposalRequestMessage,
    consensus.EvidenceMessage,
    consensus.MetricsMessage,
    consensus.StatementsRequestMessage,
    consensus.StatementsMessage,
    consensus.OperationMessage,
    consensus.ReadyMessage,
    PullRequestMessage,
    ChannelMessage,
    SenderMessage,
)
_CLASSES: Final[dict[int, type[Encoded]]] = {int(each.KIND): each for each in DECODABLE}
_SHORT_ARRAYS: Final = range(0x90, 0xA0)


def encode_plaintext(message: Encoded) -> bytes:
    """Return the bytes that an envelope seals."""
    return encode_as(type(message), message)


def encode_blocks(blocks: Sequence[bytes], certificate: bytes) -> bytes:
    """Return the plaintext of a `BlocksMessage` of what is encoded already (rule P80)."""
    kind = pack(int(consensus.BlocksMessage.KIND))
    return pack_encoded([kind, pack_encoded(blocks), certificate])


def encode_certificate(certificate: bytes) -> bytes:
    """Return the plaintext of a `CertificateMessage` of what is encoded already (rule P35)."""
    return pack_encoded([pack(int(consensus.CertificateMessage.KIND)), certificate])


def is_inner_envelope(data: bytes) -> bool:
    """Return whether an envelope held another one; only packets of bodies are sealed so."""
    return data[:1] == bytes([ENVELOPE_VERSION])


def decode_plaintext(data: bytes) -> Encoded:
    """Read what an envelope held.

    Raises:
        DecodeError: If it is no message.
    """
    # A message is a short array that starts with its kind: two bytes tell which class reads it.
    is_short_array = len(data) > 1 and data[0] in _SHORT_ARRAYS
    message_class = _CLASSES.get(data[1]) if is_short_array else None
    if message_class is None:
        raise DecodeError("message: expected an array that starts with the number of a known kind")
    return decode(message_class, data)
