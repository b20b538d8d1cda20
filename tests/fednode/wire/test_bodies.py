"""Putting bodies together: any order, duplicates, wrong bytes, bounded memory (P37, P91)."""

import random

import pytest

from fednode.wire.bodies import Outcome
from fednode.wire.packets import (
    GRANULE_BYTES,
    LEAF_GRANULES,
    RANGES_MAX,
    BodyPacket,
    GranuleRange,
)
from ledger.bodies import body_id
from tests.support.bodies import BODY, ID, expecting, forged, packets, receiver, with_leaves

OTHER = bytes(20 * GRANULE_BYTES)


def test_packets_of_two_cuts_in_any_order_with_duplicates_make_the_body(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        mixed = packets(granules=2) + packets(granules=3) + packets()
        rng.shuffle(mixed)
        made = expecting()

        outcomes = [made.accept(each, sender=rng.randrange(5)) for each in mixed]

        assert Outcome.REFUSED not in outcomes
        assert outcomes[-1] is Outcome.FULL
        assert made.complete(ID) == BODY
        assert not made.is_expected(ID)


def test_missing_names_exactly_the_granules_that_did_not_arrive(seed: int) -> None:
    rng = random.Random(seed)
    everything = packets()
    for _ in range(100):
        made = expecting()
        arrived = rng.sample(everything, rng.randrange(1, len(everything)))
        for each in arrived:
            made.accept(each, sender=1)

        listed = [i for r in made.missing(ID) for i in range(r.first, r.first + r.count)]

        assert listed == sorted({p.first for p in everything} - {p.first for p in arrived})
        assert all(
            a.first + a.count < b.first
            for a, b in zip(made.missing(ID), made.missing(ID)[1:], strict=False)
        )


def test_missing_is_bounded_to_the_ranges_of_one_request() -> None:
    body = bytes(4 * RANGES_MAX * GRANULE_BYTES)
    made = receiver()
    made.expect(ID, origin=0)
    for each in packets(body)[::2]:
        made.accept(each, sender=1)

    assert made.missing(ID) == tuple(
        GranuleRange(first=2 * i + 1, count=1) for i in range(RANGES_MAX)
    )


def test_a_body_that_nobody_announced_takes_no_memory() -> None:
    made = receiver()

    assert made.accept(packets()[0], sender=1) is Outcome.REFUSED
    assert made.expected() == ()


def test_a_repeated_packet_changes_nothing() -> None:
    made = expecting()
    first = packets()[0]

    assert made.accept(first, sender=1) is Outcome.STORED
    assert made.accept(forged(first), sender=2) is Outcome.DUPLICATE
    assert made.missing(ID) == (GranuleRange(first=1, count=40),)


def test_a_packet_that_claims_another_length_is_refused() -> None:
    made = expecting()
    made.accept(packets()[0], sender=1)

    assert made.accept(packets(bytes(5))[0], sender=2) is Outcome.REFUSED
    assert not made.is_contested(ID)
    assert made.missing(ID) == (GranuleRange(first=1, count=40),)


def test_two_claimed_lengths_without_a_known_one_make_the_body_contested() -> None:
    made = expecting(total_bytes=None)
    made.accept(packets(OTHER)[0], sender=2)

    assert made.accept(packets()[0], sender=1) is Outcome.REFUSED

    assert made.is_contested(ID)
    made.restrict(ID, sender=1)
    for each in packets():
        made.accept(each, sender=1)
    assert made.complete(ID) == BODY


def test_one_member_can_announce_boundedly_many_bodies() -> None:
    made = receiver(bodies_per_origin=2)

    results = [
        made.expect(bytes([number] * 32), origin=origin)
        for number, origin in enumerate([0, 0, 0, 1])
    ]

    assert results == [True, True, False, True]
    made.forget(bytes([0] * 32))
    assert made.expect(bytes([2] * 32), origin=0)


@pytest.mark.parametrize("bound", ["bytes_per_origin", "bytes_total", "body_bytes"])
def test_bodies_occupy_boundedly_many_bytes(bound: str) -> None:
    made = receiver(**{bound: len(BODY) - 1})
    made.expect(ID, origin=0)

    assert made.accept(packets()[0], sender=1) is Outcome.REFUSED
    assert made.missing(ID) == ()


def test_an_announced_length_beyond_the_limit_is_refused_at_once() -> None:
    made = receiver(body_bytes=100)

    assert not made.expect(ID, origin=0, total_bytes=101)
    assert made.expect(ID, origin=0, total_bytes=100)


def test_a_body_that_is_not_full_has_no_content() -> None:
    made = expecting()
    made.accept(packets()[0], sender=1)

    with pytest.raises(RuntimeError, match="is not full"):
        made.content(ID)


def test_with_leaf_hashes_whole_leaves_are_checked_one_by_one_and_spoilers_are_powerless() -> None:
    # No sender is known, and wrong packets come before each right one: still nothing is lost.
    made = expecting()
    for each in with_leaves(granules=LEAF_GRANULES):
        if each.data:
            for stray in (forged(each), forged(packets()[each.first])):
                assert made.accept(stray, sender=None) is not Outcome.FULL
        made.accept(each, sender=None)

    assert made.is_full(ID)
    assert made.complete(ID) == BODY


def test_with_leaf_hashes_in_any_order_and_cut_the_body_comes_together(seed: int) -> None:
    rng = random.Random(seed)
    for size in (1, 16 * GRANULE_BYTES, 16 * GRANULE_BYTES + 1, 55 * GRANULE_BYTES - 1):
        body = rng.randbytes(size)
        made = receiver()
        made.expect(body_id(body), origin=0, total_bytes=size)
        mixed = with_leaves(body) + with_leaves(body, 5) + with_leaves(body, 37)
        rng.shuffle(mixed)

        outcomes = [made.accept(each, sender=None) for each in mixed]

        assert Outcome.FULL in outcomes
        assert made.complete(body_id(body)) == body


def test_leaf_hashes_that_come_late_check_what_is_there() -> None:
    made = expecting()
    for each in packets():
        made.accept(forged(each) if each.first == 40 else each, sender=1)

    made.accept(with_leaves()[0], sender=1)

    assert made.missing(ID) == (GranuleRange(first=2 * LEAF_GRANULES, count=9),)


def test_leaf_hashes_of_another_body_are_ignored() -> None:
    made = expecting()
    wrong = BodyPacket(body_id=ID, total_bytes=len(BODY), first=0, data=b"", leaves=bytes(3 * 32))

    made.accept(wrong, sender=1)

    for each in packets():
        made.accept(each, sender=2)
    assert made.complete(ID) == BODY


def test_a_body_of_one_leaf_is_checked_without_leaf_hashes() -> None:
    body = b"small"
    made = receiver()
    made.expect(body_id(body), origin=0, total_bytes=len(body))
    right = with_leaves(body)[-1]

    assert made.accept(forged(right), sender=None) is not Outcome.FULL
    assert made.accept(forged(right), sender=None) is Outcome.DUPLICATE
    assert made.accept(right, sender=None) is Outcome.FULL


def test_with_leaf_hashes_a_stray_granule_does_not_shorten_what_is_asked_for() -> None:
    # Else a spoiler's granule would keep every answer from covering the whole leaf.
    made = expecting()
    made.accept(with_leaves()[0], sender=1)

    made.accept(forged(packets()[3]), sender=9)

    assert made.missing(ID) == (GranuleRange(first=0, count=41),)
