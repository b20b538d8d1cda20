"""CHANNEL and SENDER from the hands of a liar: nothing is gained by them (rules P3 and P90)."""

from collections.abc import Sequence
from dataclasses import replace

import nacl.public
import pytest

from fednode.wire.channels import BOX_BYTES, Channel, OwnKeys, SenderBox, is_low_order
from fednode.wire.counters import Counters
from fednode.wire.envelope import Opened
from fednode.wire.sender_keys import Outgoing
from ledger.encoding import fixed_bytes
from ledger.errors import DecodeError
from tests.support.sender_keys import PERIOD_MS, acquainted, deliver, entered, own_keys

BODY = b"parameters of a hospital"
MEMBERS = range(3)
A, B, C = MEMBERS

# Every point of small order and its other encodings, from libsodium's list of refused keys.
PRIME = 2**255 - 19
ORDER_EIGHT = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
LOW_ORDER = [
    *(bytes.fromhex(each) for each in ORDER_EIGHT),
    *(each.to_bytes(32, "little") for each in (0, 1, PRIME - 1, PRIME, PRIME + 1)),
]


def asked(said: Sequence[Outgoing]) -> list[int | None]:
    return [each.member for each in said if isinstance(each.statement, Channel)]


def given_to(said: Sequence[Outgoing]) -> list[int | None]:
    return [each.member for each in said if isinstance(each.statement, SenderBox)]


@pytest.mark.parametrize("key", LOW_ORDER, ids=lambda key: key.hex()[:8])
def test_a_channel_of_low_order_gets_no_keys(key: bytes) -> None:
    counters = Counters()
    a = entered(A, MEMBERS, counters)

    deliver(a, B, Channel(membership_epoch=0, made_ms=1, key=key))

    assert is_low_order(key)
    assert given_to(a.due(0)) == []
    assert counters.of("channel_low_order") == 1


def test_a_box_that_does_not_open_is_counted_and_asked_for_again() -> None:
    counters = Counters()
    a, b = entered(A, [A, B], counters), own_keys(B)
    broken = replace(b.box_for(A, a.own.channel), box=bytes(BOX_BYTES))

    deliver(a, B, broken)

    assert counters.of("sender_does_not_open") == 1
    assert asked(a.due(PERIOD_MS)) == [None, B]
    deliver(a, B, b.box_for(A, a.own.channel))
    assert a.lacking() == ()


def test_a_box_for_another_member_or_another_channel_is_not_taken() -> None:
    counters = Counters()
    a, b = entered(A, MEMBERS, counters), own_keys(B)

    deliver(a, B, b.box_for(C, a.own.channel))
    deliver(a, B, b.box_for(A, own_keys(A, made_ms=5).channel))

    assert counters.of("sender_for_another") == 2
    assert B in a.lacking()


def test_the_box_of_one_member_cannot_be_signed_by_another() -> None:
    """Else whoever passes it on would seem to be the author of the first one's answers."""
    a, b, c = (entered(member, MEMBERS) for member in (A, B, C))
    box = b.own.box_for(A, a.own.channel)

    deliver(a, C, replace(box, channel=c.own.channel))
    deliver(a, C, box)

    assert C in a.lacking()
    deliver(a, B, box)
    answer = a.open(b.seal_answer(BODY, A))
    assert answer is not None
    assert answer.owner == B


def boxed(keys: OwnKeys, recipient: int, channel: Channel, content: bytes) -> SenderBox:
    """A box with whatever keys a member likes inside."""
    number = keys.member.to_bytes(2, "big")
    sealed = nacl.public.SealedBox(nacl.public.PublicKey(channel.key)).encrypt(number + content)
    box = keys.box_for(recipient, channel)
    return replace(box, box=bytes(sealed))


def test_a_member_that_calls_anothers_key_its_own_takes_nothing_away() -> None:
    a, b, c = acquainted(3)
    theirs = b.own.sender_key.key
    for made_ms, content in ((2, theirs + theirs), (3, bytes(64))):
        liar = own_keys(C, made_ms=made_ms)
        deliver(a, C, boxed(liar, A, a.own.channel, content))

        pushed, answer = a.open(b.seal_push(BODY)), a.open(b.seal_answer(BODY, A))

        assert pushed == Opened(plaintext=BODY, owner=None)
        assert answer == Opened(plaintext=BODY, owner=B)
    with pytest.raises(DecodeError):
        a.open(c.seal_push(BODY))


def test_own_keys_say_nothing_of_their_seed_when_printed() -> None:
    keys = own_keys(A)

    assert keys.seed.hex() not in repr(keys)
    assert repr(keys.seed) not in repr(keys)
    assert repr(keys.sender_key.key) not in repr(keys.sender_key)


def test_everything_a_box_says_is_covered_by_the_signature() -> None:
    box = own_keys(B).box_for(A, own_keys(A).channel)
    others = (
        replace(box, recipient=C),
        replace(box, recipient_channel=bytes(32)),
        replace(box, box=bytes(BOX_BYTES)),
        replace(box, channel=replace(box.channel, membership_epoch=1)),
        replace(box, channel=replace(box.channel, made_ms=9)),
        replace(box, channel=replace(box.channel, key=bytes(32))),
    )

    assert len({fixed_bytes(each) for each in (box, *others)}) == 1 + len(others)
