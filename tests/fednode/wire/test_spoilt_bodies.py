"""Wrong bytes in packets of a body: an honest holder is reached whatever liars send (P12, P37)."""

import random
from dataclasses import replace
from functools import cache

import pytest

from fednode.wire.bodies import Outcome
from fednode.wire.packets import LEAF_GRANULES, BodyPacket, GranuleRange, leaf_hashes
from tests.support.bodies import BODY, ID, expecting, forged, packets, with_leaves


def test_a_wrong_body_of_one_sender_is_discarded_and_that_sender_refused() -> None:
    made = expecting()
    for each in packets():
        made.accept(forged(each), sender=7)

    assert made.complete(ID) is None

    assert made.refused_senders(ID) == (7,)
    assert made.accept(packets()[0], sender=7) is Outcome.REFUSED
    for each in packets():
        made.accept(each, sender=8)
    assert made.complete(ID) == BODY


def test_a_body_spoilt_among_several_senders_is_then_taken_from_one_at_a_time() -> None:
    made = expecting()
    mixed = [*packets()[:5], forged(packets()[5]), *packets()[6:]]
    for number, each in enumerate(mixed):
        made.accept(each, sender=9 if number == 5 else 8)
    assert made.complete(ID) is None

    assert made.is_contested(ID)
    assert made.refused_senders(ID) == ()
    assert made.accept(packets()[0], sender=8) is Outcome.REFUSED
    made.restrict(ID, sender=9)
    for each in packets():
        made.accept(forged(each), sender=9)
    assert made.complete(ID) is None
    assert made.refused_senders(ID) == (9,)
    made.restrict(ID, sender=8)
    for each in packets():
        # The spoiler goes on; nobody listens.
        assert made.accept(forged(each), sender=9) is Outcome.REFUSED
        made.accept(each, sender=8)
    assert made.complete(ID) == BODY


def test_a_wrong_body_that_was_pushed_is_then_taken_from_the_member_that_is_asked_alone() -> None:
    """Any member can push wrong bytes under the key of another, as often as it likes."""
    made = expecting()
    for each in packets():
        made.accept(forged(each), sender=None)
    assert made.complete(ID) is None
    assert made.accept(packets()[0], sender=None) is Outcome.REFUSED

    made.restrict(ID, sender=8)
    for each in packets():
        for sender in (None, 9):
            assert made.accept(forged(each), sender=sender) is Outcome.REFUSED
        made.accept(each, sender=8)

    assert made.complete(ID) == BODY


def test_after_a_wrong_leaf_of_small_packets_one_member_at_a_time_is_believed() -> None:
    """A broker with a low limit carries no whole leaves; what was checked stays."""
    made = expecting()
    made.accept(with_leaves()[0], sender=None)
    outcomes = [
        made.accept(forged(each) if each.first == 20 else each, sender=None) for each in packets()
    ]

    assert outcomes.count(Outcome.SPOILT) == 1
    assert made.missing(ID) == (GranuleRange(first=LEAF_GRANULES, count=25),)
    for liar in (7, 6):
        made.restrict(ID, sender=liar)
        outcomes = [made.accept(forged(each), sender=liar) for each in packets()]
        assert Outcome.SPOILT in outcomes
        assert outcomes[-1] is Outcome.REFUSED
    assert made.refused_senders(ID) == (6, 7)
    made.restrict(ID, sender=8)
    for each in packets():
        for sender in (None, 7, 9):
            made.accept(forged(each), sender=sender)
        made.accept(each, sender=8)
    assert made.complete(ID) == BODY


def test_whole_leaves_prove_themselves_also_when_nobody_is_believed() -> None:
    """So nobody can force the bodies of others to be pulled by spoiling a little of them."""
    made = expecting()
    made.accept(with_leaves()[0], sender=None)
    for each in packets()[:LEAF_GRANULES]:
        made.accept(forged(each), sender=None)
    assert made.is_contested(ID)

    outcomes = [made.accept(each, sender=None) for each in with_leaves(granules=LEAF_GRANULES)]

    assert outcomes[-1] is Outcome.FULL
    assert made.complete(ID) == BODY


def test_who_answers_with_a_wrong_leaf_is_asked_no_more() -> None:
    made = expecting()
    made.accept(with_leaves()[0], sender=None)
    for each in packets()[:LEAF_GRANULES]:
        made.accept(forged(each), sender=None)
    made.restrict(ID, sender=7)

    whole = with_leaves(granules=LEAF_GRANULES)[1]
    assert made.accept(forged(whole), sender=None) is Outcome.REFUSED
    assert made.accept(forged(whole), sender=9) is Outcome.SPOILT
    assert made.accept(packets()[20], sender=7) is Outcome.DUPLICATE
    assert made.accept(forged(whole), sender=7) is Outcome.SPOILT

    assert made.refused_senders(ID) == (7, 9)
    assert made.accept(packets()[21], sender=7) is Outcome.REFUSED


def test_wrong_leaf_hashes_open_no_door_for_the_granules_that_come_with_them() -> None:
    made = expecting()
    for each in packets():
        made.accept(forged(each), sender=None)
    assert made.complete(ID) is None
    made.restrict(ID, sender=8)
    both = replace(forged(packets()[0]), leaves=bytes(len(leaf_hashes(BODY))))

    assert made.accept(both, sender=None) is Outcome.REFUSED

    for each in packets():
        made.accept(each, sender=8)
    assert made.complete(ID) == BODY


LIAR, HONEST = 7, 8


@cache
def wrong_packets(granules: int) -> tuple[BodyPacket, ...]:
    return tuple(forged(each) for each in packets(granules=granules))


def noise(rng: random.Random) -> list[tuple[int | None, BodyPacket]]:
    """Wrong packets of all sizes, as the liar pushes and answers them, whoever is asked."""
    wrong = wrong_packets(rng.choice((1, 3, LEAF_GRANULES, 41)))
    return [(rng.choice((None, LIAR)), rng.choice(wrong)) for _ in range(rng.randrange(3))]


@pytest.mark.parametrize("granules", [1, 5, LEAF_GRANULES, 37])
@pytest.mark.parametrize("has_leaves", [True, False])
def test_an_honest_holder_is_reached_whatever_a_liar_sends(
    *, granules: int, has_leaves: bool, seed: int
) -> None:
    """Theorem B of rule P12, with one liar among two holders that are asked in turn."""
    for number in range(20):
        rng = random.Random(f"{seed} {number}")
        made = expecting()
        answer = with_leaves(granules=granules) if has_leaves else packets(granules=granules)
        whole = None
        for turn in range(6):
            asked = (LIAR, HONEST)[turn % 2]
            if whole is not None or asked in made.refused_senders(ID):
                continue
            made.restrict(ID, sender=asked)
            for each in answer:
                for sender, stray in noise(rng):
                    made.accept(stray, sender=sender)
                made.accept(forged(each) if asked == LIAR else each, sender=asked)
                if made.is_full(ID):
                    whole = made.complete(ID)
                    break
        assert whole == BODY
        assert HONEST not in made.refused_senders(ID)
