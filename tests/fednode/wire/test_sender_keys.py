"""Who can read bodies: members of the membership epoch whose keys came, and nobody else (P90)."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.wire.channels import Channel, SenderBox
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, NetworkKey, Opened, open_envelope, seal
from fednode.wire.sender_keys import GIVE_PAUSE_MS, UNKNOWN_PAUSE_MS, Outgoing, SenderKeys
from ledger.errors import DecodeError
from tests.support.sender_keys import (
    PERIOD_MS,
    acquainted,
    carry,
    deliver,
    entered,
    own_keys,
    spoken,
    talk,
)

BODY = b"parameters of a hospital"
MEMBERS = range(4)
A, B, C, D = MEMBERS


def can_read(keys: SenderKeys, envelope: bytes) -> bool:
    try:
        opened = keys.open(envelope)
    except DecodeError:
        return False
    return opened is not None and opened.plaintext == BODY


def asked(said: Sequence[Outgoing]) -> list[int | None]:
    return [each.member for each in said if isinstance(each.statement, Channel)]


def given_to(said: Sequence[Outgoing]) -> list[int | None]:
    return [each.member for each in said if isinstance(each.statement, SenderBox)]


def test_members_read_what_a_member_pushes_and_only_the_asker_an_answer() -> None:
    everybody = acquainted(4)

    pushed, answer = everybody[A].seal_push(BODY), everybody[A].seal_answer(BODY, B)

    assert [can_read(each, pushed) for each in everybody] == [False, True, True, True]
    assert [can_read(each, answer) for each in everybody] == [False, True, False, False]
    assert all(BODY not in each for each in (pushed, answer))


def test_an_answer_names_its_sender_and_a_push_that_any_member_could_forge_names_nobody() -> None:
    everybody = acquainted(4)

    assert everybody[B].open(everybody[A].seal_push(BODY)) == Opened(plaintext=BODY, owner=None)
    assert everybody[B].open(everybody[A].seal_answer(BODY, B)) == Opened(plaintext=BODY, owner=A)


def test_what_this_node_pushed_is_not_opened_when_the_broker_sends_it_back() -> None:
    everybody = acquainted(2)

    assert everybody[A].open(everybody[A].seal_push(BODY)) is None


def test_the_network_key_alone_opens_no_body() -> None:
    """A broker that got hold of the network key reads votes, and no parameters."""
    network_key = NetworkKey(key=bytes(range(32)))
    inner = acquainted(2)[A].seal_push(BODY)
    outer = seal(inner, Keyring(network_key), nonce_source=bytes)

    opened = open_envelope(outer, Keyring(network_key))

    assert BODY not in opened.plaintext
    with pytest.raises(DecodeError, match="no key with id"):
        open_envelope(opened.plaintext, Keyring(network_key))


def test_a_member_that_was_never_given_a_key_cannot_read() -> None:
    everybody = [entered(member, MEMBERS) for member in MEMBERS]
    talk(everybody[:3])

    assert can_read(everybody[B], everybody[A].seal_push(BODY))
    assert not can_read(everybody[D], everybody[A].seal_push(BODY))
    assert everybody[A].has_given(B)
    assert not everybody[A].has_given(D)
    assert everybody[A].lacking() == (D,)


def test_two_members_that_start_at_once_need_two_messages_each() -> None:
    a, b = entered(A, [A, B]), entered(B, [A, B])
    said = {A: list(a.due(0)), B: list(b.due(0))}

    deliver(a, B, said[B][0].statement)
    deliver(b, A, said[A][0].statement)
    said[A] += a.due(0)
    said[B] += b.due(0)
    deliver(a, B, said[B][1].statement)
    deliver(b, A, said[A][1].statement)

    assert a.due(0) == b.due(0) == ()
    assert [asked(said[each]) + given_to(said[each]) for each in (A, B)] == [[None, B], [None, A]]
    assert a.lacking() == b.lacking() == ()


def test_a_member_that_missed_the_others_channels_gets_all_keys_by_its_own() -> None:
    """Whoever starts later makes itself heard once, and all is said within two trips."""
    others = acquainted(3)
    for keys in others:
        keys.enter(keys.own, MEMBERS, now_ms=0)
    talk(others)
    late = entered(D, MEMBERS)
    (announced,) = late.due(0)

    for keys in others:
        deliver(keys, D, announced.statement)
        (answer,) = keys.due(0)
        deliver(late, keys.own.member, answer.statement)
    for each in late.due(0):
        assert each.member is not None
        deliver(others[each.member], D, each.statement)

    assert [keys.lacking() for keys in (*others, late)] == [()] * 4


def test_a_lacking_key_is_asked_for_once_in_a_period_of_its_owner_alone() -> None:
    keys = entered(A, MEMBERS)

    assert asked(keys.due(0)) == [None]
    assert asked(keys.due(PERIOD_MS - 1)) == []
    assert asked(keys.due(PERIOD_MS)) == [B, C, D]
    assert asked(keys.due(2 * PERIOD_MS - 1)) == []
    assert asked(keys.due(2 * PERIOD_MS)) == [B, C, D]


def test_a_flood_of_channels_gets_one_answer_in_a_pause() -> None:
    """Rule P37: neither repeated nor ever new channels cost more than that, in time or memory."""
    keys = entered(A, MEMBERS)
    keys.due(0)
    answers = 0

    for number in range(10 * GIVE_PAUSE_MS):
        deliver(keys, B, own_keys(B, made_ms=1 + number // 2).channel, now_ms=number)
        answers += len(given_to(keys.due(number)))

    assert answers == 10
    assert len(keys._peers) == 3


def test_the_later_channel_of_a_member_counts_and_its_old_key_opens_no_more() -> None:
    """A member that lost its folder draws new keys in the same epoch."""
    a, b = acquainted(2)
    before = b.seal_push(BODY)
    b.enter(own_keys(B, made_ms=2), [A, B], now_ms=GIVE_PAUSE_MS)

    talk([a, b], now_ms=GIVE_PAUSE_MS)

    assert not can_read(a, before)
    assert can_read(a, b.seal_push(BODY))
    assert can_read(b, a.seal_push(BODY))


def test_the_keys_of_a_member_that_drew_new_ones_are_asked_for_until_they_come() -> None:
    a, _ = acquainted(2)

    deliver(a, B, own_keys(B, made_ms=2).channel)

    assert a.lacking() == (B,)
    assert not a.can_read(B)
    assert asked(a.due(PERIOD_MS)) == [B]


def test_a_node_that_was_fed_with_old_keys_asks_all_when_something_does_not_open() -> None:
    """It started again; a broker lost what it said, and replayed what another had said before."""
    a, b = entered(A, [A, B]), entered(B, [A, B])
    b.enter(own_keys(B, made_ms=2), [A, B], now_ms=0)
    talk([a, b])
    a = entered(A, [A, B])
    a.due(0)
    deliver(a, B, own_keys(B).box_for(A, a.own.channel))
    a.due(0)
    assert a.lacking() == b.lacking() == ()

    for _ in range(100):
        assert not can_read(a, b.seal_push(BODY))

    assert asked(a.due(UNKNOWN_PAUSE_MS - 1)) == []
    talk([a, b], now_ms=UNKNOWN_PAUSE_MS)
    assert can_read(a, b.seal_push(BODY))
    assert asked(a.due(3 * UNKNOWN_PAUSE_MS)) == []


def test_what_strangers_send_makes_a_node_ask_once_in_a_pause() -> None:
    """Rule P37: whoever has the network key can send what opens for nobody."""
    a, stranger = acquainted(2)[A], entered(D, MEMBERS)
    said = 0

    for now_ms in range(0, 10 * UNKNOWN_PAUSE_MS, 100):
        assert not can_read(a, stranger.seal_push(BODY))
        said += len(asked(a.due(now_ms)))

    assert said == 9


def test_an_older_channel_that_a_broker_replays_changes_nothing() -> None:
    counters = Counters()
    a, b = entered(A, [A, B], counters), entered(B, [A, B])
    b.enter(own_keys(B, made_ms=2), [A, B], now_ms=0)
    talk([a, b])

    deliver(a, B, own_keys(B, made_ms=1).channel)
    deliver(a, B, replace(own_keys(B, made_ms=9).channel, made_ms=2))

    assert counters.of("channel_replaced") == 2
    assert can_read(a, b.seal_push(BODY))
    assert a.due(10 * PERIOD_MS) == ()


@pytest.mark.parametrize("membership_epoch", [0, 8, 2**63])
def test_channels_and_boxes_of_another_epoch_give_nothing(membership_epoch: int) -> None:
    a = entered(A, MEMBERS)
    a.enter(own_keys(A, membership_epoch=7), MEMBERS, now_ms=0)
    a.due(0)
    other = own_keys(B, membership_epoch=membership_epoch)

    deliver(a, B, other.channel)
    deliver(a, B, other.box_for(A, a.own.channel))

    assert given_to(a.due(0)) == []
    assert B in a.lacking()


def test_a_channel_of_an_epoch_ahead_waits_and_is_answered_there() -> None:
    """Some members commit the block that changes the membership before others do."""
    a = entered(A, MEMBERS)
    a.due(0)
    for ahead in (9, 7, 8):
        deliver(a, B, own_keys(B, membership_epoch=ahead).channel)
    deliver(a, C, own_keys(C, membership_epoch=5).channel)

    a.enter(own_keys(A, membership_epoch=5), MEMBERS, now_ms=0)
    assert given_to(a.due(0)) == [C]
    a.enter(own_keys(A, membership_epoch=9), MEMBERS, now_ms=0)
    assert given_to(a.due(0)) == [B]


def test_who_left_reads_no_body_of_a_later_epoch_with_all_keys_and_all_traffic() -> None:
    everybody = acquainted(4)
    staying, leaver = everybody[:3], everybody[D]
    for keys in staying:
        keys.enter(own_keys(keys.own.member, membership_epoch=6), [A, B, C], now_ms=0)
    recorded = talk(staying)
    bodies = [keys.seal_push(BODY) for keys in staying] + [staying[A].seal_answer(BODY, B)]

    assert not any(can_read(leaver, body) for body in bodies)
    boxes = [(by, said.statement) for by, said in recorded if isinstance(said.statement, SenderBox)]
    for own in (own_keys(D), own_keys(D, membership_epoch=6)):
        leaver.enter(own, MEMBERS, now_ms=0)
        for by, box in boxes:
            deliver(leaver, by, box)
            assert leaver.own.open_box(box, sender=by) is None
        assert not any(can_read(leaver, body) for body in bodies)
    for request in spoken([leaver], PERIOD_MS):
        carry(staying, request, PERIOD_MS)
    assert [given_to(keys.due(PERIOD_MS)) for keys in staying] == [[], [], []]
    assert len(boxes) == 6
    assert all(can_read(staying[B], body) for body in (bodies[A], bodies[C], bodies[3]))


def test_who_joins_reads_the_epoch_in_which_it_joined_and_nothing_before() -> None:
    everybody = acquainted(3)
    before = everybody[A].seal_push(BODY)
    for keys in everybody:
        keys.enter(own_keys(keys.own.member, membership_epoch=6), MEMBERS, now_ms=0)
    joiner = entered(D, MEMBERS)
    joiner.enter(own_keys(D, membership_epoch=6), MEMBERS, now_ms=0)

    talk([*everybody, joiner])

    assert can_read(joiner, everybody[A].seal_push(BODY))
    assert not can_read(joiner, before)


def test_an_epoch_leaves_no_key_of_the_one_before_in_memory() -> None:
    a, b = acquainted(2)
    secrets = [a.own.seed, a.own.sender_key.key, b.own.sender_key.key, b.own.answer_key(A).key]

    a.enter(own_keys(A, membership_epoch=6), [A, B], now_ms=0)

    held = repr([a._peers, a._ahead, vars(a._keyring)]).encode()
    keys = [each.key for each in a._keyring._keys.values()]
    assert keys == [a.own.sender_key.key]
    assert a.own.seed not in secrets
    assert all(secret.hex().encode() not in held for secret in secrets)


def test_statements_of_who_is_no_member_are_counted_and_bounded() -> None:
    counters = Counters()
    a = entered(A, [A, B], counters)

    deliver(a, C, own_keys(C).channel)
    deliver(a, C, own_keys(C).box_for(A, a.own.channel))

    assert counters.of("channel_not_in_force") == 2
    assert given_to(a.due(0)) == []
    assert not a.has_given(C)


class Weather:
    """A broker that loses, repeats, delays and reorders, until it no longer does."""

    def __init__(self, rng: random.Random, loss: float) -> None:
        self.rng, self.loss = rng, loss
        self.under_way: list[tuple[int, Outgoing]] = []

    def pass_on(self, everybody: Sequence[SenderKeys], now_ms: int) -> None:
        for said in spoken(everybody, now_ms):
            is_lost = self.rng.random() < self.loss
            self.under_way += [] if is_lost else [said] * self.rng.choice((1, 2))
        self.rng.shuffle(self.under_way)
        number = len(self.under_way) // 2 if self.loss else len(self.under_way)
        for said in self.under_way[:number]:
            carry(everybody, said, now_ms)
        del self.under_way[:number]


@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.3, 0.7]))
def test_all_members_have_all_keys_at_last_whatever_the_broker_does(seed: int, loss: float) -> None:
    """One member starts again without what it had heard, and one after the other changes epoch."""
    weather = Weather(random.Random(seed), loss)
    everybody = [entered(member, MEMBERS) for member in MEMBERS]
    for step in range(60):
        now_ms = step * PERIOD_MS // 2
        if step == 10:
            everybody[C] = entered(C, MEMBERS)
        if 20 <= step < 20 + len(everybody):
            own = own_keys(step - 20, membership_epoch=5)
            everybody[own.member].enter(own, MEMBERS, now_ms=now_ms)
        if step == 40:
            weather.loss = 0.0
        weather.pass_on(everybody, now_ms)

    assert [keys.lacking() for keys in everybody] == [()] * len(everybody)
    for sender, reader in itertools.permutations(everybody, 2):
        assert can_read(reader, sender.seal_push(BODY))
        assert can_read(reader, sender.seal_answer(BODY, reader.own.member))
