"""The plaintext of an envelope: a message of consensus, a pull request, or a packet of a body."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, TypeAlias

from consensus import messages as consensus
from fednode.wire.packets import BodyPacket, PullRequest, decode_packet, encode_packet
from ledger.encoding import decode, encode_as
from ledger.errors import DecodeError
from ledger.keys import Signed


class WireKind(IntEnum):
    """First item of the messages that only the transport needs."""

    PULL_REQUEST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestMessage:
    """A signed request for parts of a body (rule P91)."""

    KIND: ClassVar[WireKind] = WireKind.PULL_REQUEST

    request: Signed[PullRequest]


Encoded: TypeAlias = consensus.Message | PullRequestMessage
Plaintext: TypeAlias = Encoded | BodyPacket

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
    consensus.StatementsRequestMessage,
    consensus.StatementsMessage,
    PullRequestMessage,
)
_CLASSES: Final[dict[int, type[Encoded]]] = {int(each.KIND): each for each in DECODABLE}
_SHORT_ARRAYS: Final = range(0x90, 0xA0)
_PACKET_START: Final = b"FNB1"


def encode_plaintext(message: Plaintext) -> bytes:
    """Return the bytes that an envelope seals."""
    if isinstance(message, BodyPacket):
        return encode_packet(message)
    return encode_as(type(message), message)


def decode_plaintext(data: bytes) -> Plaintext:
    """Read what an envelope held.

    Raises:
        DecodeError: If it is neither a message, a pull request nor a packet of a body.
    """
    if data.startswith(_PACKET_START):
        return decode_packet(data)
    # A message is a short array that starts with its kind: two bytes tell which class reads it.
    is_short_array = len(data) > 1 and data[0] in _SHORT_ARRAYS
    message_class = _CLASSES.get(data[1]) if is_short_array else None
    if message_class is None:
        raise DecodeError("message: expected an array that starts with the number of a known kind")
    return decode(message_class, data)
