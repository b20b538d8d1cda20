"""Packets of bodies: strict decoding, and cuts of any size fit together (Rules P4, P91)."""

import random

import pytest

from fednode.wire.packets import (
    BODY_BYTES_MAX,
    GRANULE_BYTES,
    GRANULES_MAX,
    PACKET_OVERHEAD_BYTES,
    PAYLOAD_BYTES_MIN,
    BodyPacket,
    GranuleRange,
    PullRequest,
    cut,
    decode_packet,
    encode_packet,
    leaf_hashes,
    packet_granules,
)
from ledger.bodies import LEAF_BYTES
from ledger.encoding import decode, encode
from ledger.errors import DecodeError

ID = bytes(range(32))


def packet(total_bytes: int, first: int, data: bytes, leaves: bytes = b"") -> BodyPacket:
    return BodyPacket(body_id=ID, total_bytes=total_bytes, first=first, data=data, leaves=leaves)


def pull(*ranges: tuple[int, int]) -> PullRequest:
    return PullRequest(
        height=5,
        responder=2,
        counter=9,
        body_id=ID,
        ranges=tuple(GranuleRange(first=first, count=count) for first, count in ranges),
    )


@pytest.mark.parametrize(
    "valid",
    [
        packet(1, 0, b"x"),
        packet(GRANULE_BYTES, 0, bytes(GRANULE_BYTES)),
        packet(GRANULE_BYTES + 1, 0, bytes(GRANULE_BYTES)),
        packet(GRANULE_BYTES + 1, 0, bytes(GRANULE_BYTES + 1)),
        packet(GRANULE_BYTES + 1, 1, b"x"),
        packet(BODY_BYTES_MAX, GRANULES_MAX - 1, bytes(GRANULE_BYTES)),
        packet(LEAF_BYTES + 1, 0, b"", bytes(64)),
        packet(LEAF_BYTES + 1, 16, b"x", bytes(64)),
    ],
)
def test_a_packet_decodes_to_what_was_encoded(valid: BodyPacket) -> None:
    assert decode_packet(encode_packet(valid)) == valid


@pytest.mark.parametrize(
    "wrong",
    [
        packet(1, 0, b""),
        packet(0, 0, b"x"),
        packet(BODY_BYTES_MAX + 1, 0, bytes(GRANULE_BYTES)),
        packet(10, 0, b"short"),
        packet(10, 0, b"much too long"),
        packet(10, 1, b"x"),
        packet(10, 2**32 - 1, b"x"),
        packet(3 * GRANULE_BYTES, 0, bytes(GRANULE_BYTES + 1)),
        packet(2 * GRANULE_BYTES, 1, bytes(GRANULE_BYTES - 1)),
        packet(LEAF_BYTES + 1, 0, b"", bytes(32)),
        packet(LEAF_BYTES + 1, 0, b"", bytes(96)),
        packet(LEAF_BYTES + 1, 1, b"", bytes(64)),
    ],
)
def test_a_packet_that_does_not_fit_its_body_is_refused(wrong: BodyPacket) -> None:
    with pytest.raises(DecodeError, match="packet: "):
        decode_packet(encode_packet(wrong))


def test_a_mutated_or_random_packet_is_refused_or_means_exactly_its_bytes(seed: int) -> None:
    rng = random.Random(seed)
    valid = encode_packet(packet(GRANULE_BYTES + 7, 1, b"seventh"))
    survivors = 0
    for position in range(len(valid)):
        for _ in range(8):
            mutated = bytearray(valid)
            mutated[position] = rng.randrange(256)
            survivors += re_encodes(bytes(mutated))
    for _ in range(500):
        survivors += re_encodes(b"FNB1" + rng.randbytes(rng.randrange(120)))
        re_encodes(rng.randbytes(rng.randrange(120)))

    assert survivors > 0


def re_encodes(data: bytes) -> bool:
    try:
        decoded = decode_packet(data)
    except DecodeError:
        return False
    assert encode_packet(decoded) == data
    return True


@pytest.mark.parametrize("size", [1, GRANULE_BYTES, GRANULE_BYTES + 1, 10 * GRANULE_BYTES - 1])
@pytest.mark.parametrize("granules", [1, 3, 64])
def test_the_packets_of_a_body_concatenate_to_it(size: int, granules: int) -> None:
    body = random.Random(size).randbytes(size)

    packets = [decode_packet(encode_packet(each)) for each in cut(body, ID, granules=granules)]

    assert b"".join(each.data for each in packets) == body
    assert [each.first for each in packets] == list(range(0, -(-size // GRANULE_BYTES), granules))


def test_a_cut_of_ranges_yields_these_and_nothing_beyond_the_body() -> None:
    body = bytes(4 * GRANULE_BYTES + 5)
    ranges = pull((0, 1), (3, 100), (500, 3)).ranges

    packets = list(cut(body, ID, granules=1, ranges=ranges))

    assert [(each.first, len(each.data)) for each in packets] == [
        (0, GRANULE_BYTES),
        (3, GRANULE_BYTES),
        (4, 5),
    ]


@pytest.mark.parametrize("payload_bytes_max", [PAYLOAD_BYTES_MIN, 8192, 262_144, 2**20])
def test_the_largest_packet_fills_but_never_exceeds_the_payload(payload_bytes_max: int) -> None:
    used = packet_granules(payload_bytes_max) * GRANULE_BYTES + PACKET_OVERHEAD_BYTES

    assert used <= payload_bytes_max < used + GRANULE_BYTES


def test_a_payload_limit_below_one_granule_is_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="raise the broker's message size limit"):
        packet_granules(PAYLOAD_BYTES_MIN - 1)


@pytest.mark.parametrize("valid", [pull(), pull((0, 1)), pull((0, 1), (2, 5), (8, 1))])
def test_a_pull_request_decodes_to_what_was_encoded(valid: PullRequest) -> None:
    assert decode(PullRequest, encode(valid)) == valid


@pytest.mark.parametrize(
    "ranges",
    [
        ((0, 0),),
        ((0, GRANULES_MAX + 1),),
        ((GRANULES_MAX, 1),),
        ((0, 1), (1, 1)),
        ((0, 2), (1, 2)),
        ((5, 1), (0, 1)),
    ],
)
def test_ranges_that_are_empty_touching_or_out_of_order_are_refused(
    ranges: tuple[tuple[int, int], ...],
) -> None:
    with pytest.raises(DecodeError, match="expected "):
        pull(*ranges)


def test_packets_of_at_least_a_leaf_end_where_a_leaf_ends() -> None:
    body = bytes(100 * GRANULE_BYTES)

    ends = [
        each.first + each.count for each in cut(body, ID, granules=63, ranges=pull((5, 80)).ranges)
    ]

    assert ends == [64, 85]


def test_leaf_hashes_are_sent_first_if_they_fit_into_a_packet() -> None:
    body = bytes(200 * LEAF_BYTES)
    leaves = leaf_hashes(body)

    first, *rest = cut(body, ID, granules=63, leaves=leaves)

    assert (first.leaves, first.data) == (leaves, b"")
    assert all(not each.leaves for each in rest)
    assert all(not each.leaves for each in cut(body, ID, granules=1, leaves=leaves))
