"""Packets of a body, and the request for those that did not arrive (Rules P4 and P91).

A body is cut at multiples of `GRANULE_BYTES`. A packet names its first granule and carries whole
granules (the last one of a body may be short), so packets of different sizes, cut by nodes with
different brokers, fit together.

A packet may also carry the hashes of all leaves of the body (Rule P4). They prove themselves, as
their root is the body's id, and then every leaf can be checked as it arrives: nobody can spoil a
body of somebody else by sending wrong bytes in time.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from fednode.wire.envelope import ENVELOPE_OVERHEAD_BYTES
from ledger.bodies import LEAF_BYTES
from ledger.encoding import U16, U32, U64, Digest, Items
from ledger.errors import DecodeError
from ledger.merkle import leaf_hash

GRANULE_BYTES = 4096
BODY_BYTES_MAX = 256 * 2**20
GRANULES_MAX = BODY_BYTES_MAX // GRANULE_BYTES
RANGES_MAX = 64
ENVELOPE_LAYERS = 2  # Rule P90: sender key inside, network key outside.

_MAGIC = b"FNB1"
LEAF_GRANULES = LEAF_BYTES // GRANULE_BYTES
HASH_BYTES = 32

_HEADER = struct.Struct(">4s32sQII")
PACKET_OVERHEAD_BYTES = _HEADER.size + ENVELOPE_LAYERS * ENVELOPE_OVERHEAD_BYTES
PAYLOAD_BYTES_MIN = GRANULE_BYTES + PACKET_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPacket:
    """Consecutive granules of one body.

    Attributes:
        body_id: 32-byte id of the whole body.
        total_bytes: Length of the whole body.
        first: Index of the first granule in `data`.
        data: Whole granules; only the last granule of the body may be shorter.
        leaves: Empty, or the hashes of all leaves, one after the other; only then `data` may be
            empty.
    """

    body_id: bytes
    total_bytes: int
    first: int
    data: bytes
    leaves: bytes = b""

    @property
    def count(self) -> int:
        """Number of granules in this packet."""
        return granules_in(len(self.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class GranuleRange:
    """`count` granules from granule `first` on."""

    first: U32
    count: U32

    def __post_init__(self) -> None:
        """Refuse an empty range and one beyond the largest body."""
        if not 1 <= self.count <= GRANULES_MAX - self.first:
            raise DecodeError(
                f"expected 1 to {GRANULES_MAX} granules in a body, "
                f"got {self.count} from {self.first}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A member's request to one responder for parts of a body; signed before it is sent.

    Attributes:
        height: Height for which the body is needed.
        responder: Number of the member that is asked; nobody else answers.
        counter: Grows with every request of this requester; each is answered once.
        body_id: Id of the wanted body.
        ranges: What is missing, ascending, with gaps between; empty means the whole body.
    """

    TAG: ClassVar[str] = "pull/1"

    height: U64
    responder: U16
    counter: U64
    body_id: Digest
    ranges: Annotated[tuple[GranuleRange, ...], Items(RANGES_MAX)]

    def __post_init__(self) -> None:
        """Refuse ranges that are not ascending with gaps between (one encoding per request)."""
        end = -1
        for each in self.ranges:
            if each.first <= end:
                raise DecodeError(f"expected a range after granule {end}, got {each.first}")
            end = each.first + each.count


def granules_in(size_bytes: int) -> int:
    """Return how many granules that many bytes take, a short last one included."""
    return -(-size_bytes // GRANULE_BYTES)


def leaves_in(size_bytes: int) -> int:
    """Return how many leaves a body of that many bytes has."""
    return -(-size_bytes // LEAF_BYTES)


def leaf_hashes(body: bytes | memoryview) -> bytes:
    """Return the hashes of all leaves of a body, one after the other (1 ms per megabyte)."""
    view = memoryview(body)
    starts = range(0, len(view), LEAF_BYTES)
    return b"".join(leaf_hash(view[start : start + LEAF_BYTES]) for start in starts)


def encode_packet(packet: BodyPacket) -> bytes:
    """Return the bytes of a packet."""
    number = len(packet.leaves) // HASH_BYTES
    header = _HEADER.pack(_MAGIC, packet.body_id, packet.total_bytes, packet.first, number)
    return header + packet.leaves + packet.data


def decode_packet(data: bytes) -> BodyPacket:
    """Read a packet from bytes of anywhere.

    Raises:
        DecodeError: If it is not a packet, or does not fit the body that it claims to be from.
    """
    if len(data) <= _HEADER.size:
        raise DecodeError(f"packet: expected more than {_HEADER.size} bytes, got {len(data)}")
    magic, body_id, total_bytes, first, number = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise DecodeError(f"packet: expected {_MAGIC!r} first, got {magic!r}")
    if not 1 <= total_bytes <= BODY_BYTES_MAX:
        raise DecodeError(
            f"packet: expected a body of 1 to {BODY_BYTES_MAX} bytes, got {total_bytes}"
        )
    if number not in (0, leaves_in(total_bytes)):
        raise DecodeError(f"packet: expected {leaves_in(total_bytes)} leaf hashes, got {number}")
    content = data[_HEADER.size + number * HASH_BYTES :]
    leaves = data[_HEADER.size : _HEADER.size + number * HASH_BYTES]
    if len(leaves) < number * HASH_BYTES or (not content and (first != 0 or not leaves)):
        raise DecodeError("packet: expected leaf hashes or granules of the body, got neither whole")
    end = first * GRANULE_BYTES + len(content)
    if content and (end > total_bytes or (end < total_bytes and len(content) % GRANULE_BYTES != 0)):
        raise DecodeError(
            f"packet: {len(content)} bytes from granule {first} on do not fit a body of "
            f"{total_bytes} bytes"
        )
    return BodyPacket(
        body_id=body_id, total_bytes=total_bytes, first=first, data=content, leaves=leaves
    )


def packet_granules(payload_bytes_max: int) -> int:
    """Return how many granules fit into one packet below the broker's limit (Rule P91).

    Raises:
        ValueError: If not even one fits (below `PAYLOAD_BYTES_MIN`).
    """
    if payload_bytes_max < PAYLOAD_BYTES_MIN:
        raise ValueError(
            f"expected payloads of at least {PAYLOAD_BYTES_MIN} bytes, got {payload_bytes_max}: "
            "raise the broker's message size limit"
        )
    return (payload_bytes_max - PACKET_OVERHEAD_BYTES) // GRANULE_BYTES


def cut(
    body: bytes | memoryview,
    body_id: bytes,
    *,
    granules: int,
    ranges: tuple[GranuleRange, ...] = (),
    leaves: bytes = b"",
) -> Iterator[BodyPacket]:
    """Yield the packets of a body, or of some ranges of it, in ascending order.

    Packets of at least one leaf end where a leaf ends, so that they can be checked one by one.

    Args:
        body: The whole body, 1 to `BODY_BYTES_MAX` bytes.
        body_id: Its id.
        granules: Granules per packet, from `packet_granules`.
        ranges: Only these; what lies beyond the body is left out. Empty means everything.
        leaves: From `leaf_hashes`; they are sent first if they fit into one packet.
    """
    if not 1 <= len(body) <= BODY_BYTES_MAX:
        raise ValueError(f"expected a body of 1 to {BODY_BYTES_MAX} bytes, got {len(body)}")
    last = granules_in(len(body))
    if leaves and len(leaves) <= granules * GRANULE_BYTES:
        yield BodyPacket(body_id=body_id, total_bytes=len(body), first=0, data=b"", leaves=leaves)
    for each in ranges or (GranuleRange(first=0, count=last),):
        first, stop = each.first, min(each.first + each.count, last)
        while first < stop:
            end = min(_packet_end(first, granules), stop)
            data = bytes(body[first * GRANULE_BYTES : end * GRANULE_BYTES])
            yield BodyPacket(body_id=body_id, total_bytes=len(body), first=first, data=data)
            first = end


def _packet_end(first: int, granules: int) -> int:
    aligned = (first + granules) // LEAF_GRANULES * LEAF_GRANULES
    return aligned if aligned > first else first + granules


DECODABLE: Final = (GranuleRange, PullRequest)
DECODERS: Final[
    tuple[tuple[str, Callable[[bytes], BodyPacket], Callable[[BodyPacket], bytes]], ...]
] = (("body packet", decode_packet, encode_packet),)
