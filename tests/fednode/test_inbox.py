"""From bytes of anybody to verified inputs: what is read, what is dropped and counted."""

import os
from dataclasses import replace
from typing import get_args

import pytest

from consensus.effects import VoteReceived
from consensus.messages import Message, VoteMessage
from fednode import inbox as inbox_module
from fednode.inbox import ArrivedPacket, KeyNews, MessageInbox
from fednode.roster import Roster
from fednode.transport.base import PAYLOAD_BYTES_WISH
from fednode.wire.counters import Counters
from fednode.wire.envelope import HEADER_BYTES, NONCE_BYTES, Keyring, NetworkKey, seal
from fednode.wire.messages import DECODABLE, ChannelMessage, SenderMessage, encode_plaintext
from fednode.wire.packets import BodyPacket, encode_packet
from ledger.genesis import chain_id
from ledger.keys import Signed, sign
from ledger.records import FRESH, Phase, Vote
from ledger.state import initial_state
from tests.support.ledger import contract, digest, keys
from tests.support.sender_keys import acquainted, own_keys

CONTRACT = contract(4)
KEYRING = Keyring(NetworkKey(key=digest("network key")))
VOTE = Vote(phase=Phase.COMMIT, height=1, view=0, valid_view=FRESH, block_id=digest("block"))


def signed_vote(signer: int = 1) -> Signed[Vote]:
    return sign(VOTE, keys(4)[1], signer=signer, chain_id=chain_id(CONTRACT))


def sealed(vote: Signed[Vote], keyring: Keyring = KEYRING) -> bytes:
    plaintext = encode_plaintext(VoteMessage(vote=vote, reason=""))
    return seal(plaintext, keyring, nonce_source=os.urandom)


def make_inbox() -> tuple[MessageInbox, Counters]:
    counters = Counters()
    inbox = MessageInbox(
        roster=Roster(CONTRACT, initial_state(CONTRACT)),
        keyring=KEYRING,
        sender_keys=acquainted(4)[0],
        counters=counters,
    )
    return inbox, counters


def test_a_vote_that_its_member_signed_arrives_verified() -> None:
    inbox, counters = make_inbox()

    arrival = inbox.open(sealed(signed_vote()))

    assert isinstance(arrival, VoteReceived)
    assert arrival.vote.statement == VOTE
    assert counters.all() == ()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (bytes(PAYLOAD_BYTES_WISH + 1), "payload_bytes"),
        (bytes(200), "envelope"),
        (sealed(signed_vote(), Keyring(NetworkKey(key=bytes(32)))), "envelope"),
        (seal(b"\x91\x07", KEYRING, nonce_source=os.urandom), "DecodeError"),
        (sealed(signed_vote(signer=2)), "SignatureError"),
        (sealed(signed_vote(signer=9)), "SignatureError"),
        (sealed(replace(signed_vote(), signature=bytes(64))), "SignatureError"),
    ],
    ids=[
        "too long",
        "no envelope",
        "other key",
        "no message",
        "other member",
        "stranger",
        "forged",
    ],
)
def test_what_cannot_be_believed_is_counted_and_dropped(payload: bytes, reason: str) -> None:
    inbox, counters = make_inbox()

    assert inbox.open(payload) is None
    assert counters.all() == ((reason, 1),)


def test_bytes_that_a_broker_replays_are_not_read_again_but_what_a_member_repeats_is() -> None:
    """Rule P91: handlers are idempotent, and duplicates are found by nonce and tag."""
    inbox, counters = make_inbox()
    payload = sealed(signed_vote())

    first, replayed = inbox.open(payload), inbox.open(payload)
    repeated = inbox.open(sealed(signed_vote()))

    assert first is not None
    assert replayed is None
    assert repeated is not None
    assert counters.all() == (("replayed", 1),)


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        (HEADER_BYTES + NONCE_BYTES, (("envelope", 1), ("replayed", 1))),
        (HEADER_BYTES, (("envelope", 2),)),
        (-1, (("envelope", 2),)),
    ],
    ids=["content", "nonce", "tag"],
)
def test_a_forged_copy_that_comes_first_keeps_the_true_message_from_nobody(
    changed: int, counted: tuple[tuple[str, int], ...]
) -> None:
    """Nonce and tag are remembered only of what opened (rule P91)."""
    inbox, counters = make_inbox()
    payload = sealed(signed_vote())
    forged = bytearray(payload)
    forged[changed] ^= 1

    arrivals = [inbox.open(each) for each in (bytes(forged), payload, bytes(forged))]

    assert [each is not None for each in arrivals] == [False, True, False]
    assert counters.all() == counted


def test_the_memory_for_replays_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule P37."""
    monkeypatch.setattr(inbox_module, "SEEN_MAX", 2)
    inbox, counters = make_inbox()
    payloads = [sealed(signed_vote()) for _ in range(3)]

    for payload in (*payloads, payloads[0]):
        assert inbox.open(payload) is not None

    assert counters.of("replayed") == 0


PACKET = encode_packet(BodyPacket(body_id=bytes(32), total_bytes=5, first=0, data=b"model"))
OWN, OTHER = 0, 1


def in_network_envelope(plaintext: bytes) -> bytes:
    return seal(plaintext, KEYRING, nonce_source=os.urandom)


def test_a_packet_of_a_body_is_taken_under_the_key_of_a_member_alone() -> None:
    """Rule P90: whoever has nothing but the network key can neither read nor offer bodies."""
    inbox, counters = make_inbox()
    other = acquainted(4)[OTHER]

    pushed = inbox.open(in_network_envelope(other.seal_push(PACKET)))
    answered = inbox.open(in_network_envelope(other.seal_answer(PACKET, OWN)))
    bare = inbox.open(in_network_envelope(PACKET))
    twice = inbox.open(in_network_envelope(in_network_envelope(PACKET)))

    assert isinstance(pushed, ArrivedPacket)
    assert isinstance(answered, ArrivedPacket)
    assert [each.sender for each in (pushed, answered)] == [None, OTHER]
    assert (bare, twice) == (None, None)
    assert counters.all() == (("DecodeError", 2),)


def test_a_vote_under_a_sender_key_is_no_vote() -> None:
    inbox, counters = make_inbox()
    vote = encode_plaintext(VoteMessage(vote=signed_vote(), reason=""))

    assert inbox.open(in_network_envelope(acquainted(4)[OTHER].seal_push(vote))) is None
    assert counters.all() == (("DecodeError", 1),)


def test_the_own_packets_that_a_broker_sends_back_are_not_even_counted() -> None:
    inbox, counters = make_inbox()

    assert inbox.open(in_network_envelope(acquainted(4)[OWN].seal_push(PACKET))) is None
    assert counters.all() == ()


@pytest.mark.parametrize(("signer", "key"), [(1, 1), (1, 2), (9, 1)])
def test_keys_are_taken_from_members_that_signed_them_for_this_chain(signer: int, key: int) -> None:
    inbox, counters = make_inbox()
    channel, chain = own_keys(signer).channel, chain_id(CONTRACT)
    box = own_keys(signer).box_for(OWN, own_keys(OWN).channel)

    for of_chain in (chain, bytes(32)):
        for message in (
            ChannelMessage(channel=sign(channel, keys(4)[key], signer=signer, chain_id=of_chain)),
            SenderMessage(sender=sign(box, keys(4)[key], signer=signer, chain_id=of_chain)),
        ):
            arrival = inbox.open(in_network_envelope(encode_plaintext(message)))
            is_right = signer == key and of_chain == chain
            assert isinstance(arrival, KeyNews) == is_right

    assert counters.of("SignatureError") == (2 if signer == key else 4)


def test_every_message_of_the_protocol_can_arrive() -> None:
    assert set(get_args(Message)) <= set(DECODABLE)
