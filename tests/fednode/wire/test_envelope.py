"""Sealed envelopes: they open only under their key, unchanged, whatever the topic (rule P90)."""

import hashlib
import random
import secrets

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from fednode.wire.envelope import (
    ENVELOPE_BYTES_MAX,
    ENVELOPE_OVERHEAD_BYTES,
    KEYS_MAX,
    Keyring,
    NetworkKey,
    open_envelope,
    seal,
)
from ledger.errors import DecodeError

KEY = NetworkKey(key=bytes(range(32)))
SENDER_KEY = NetworkKey(key=bytes(range(1, 33)), owner=3)


def sealed(plaintext: bytes, key: NetworkKey = KEY) -> bytes:
    return seal(plaintext, Keyring(key), nonce_source=secrets.token_bytes)


@pytest.mark.parametrize("size", [0, 1, 1000, 2**20])
def test_an_envelope_opens_to_what_was_sealed(size: int) -> None:
    plaintext = secrets.token_bytes(size)

    envelope = sealed(plaintext)

    assert len(envelope) == size + ENVELOPE_OVERHEAD_BYTES
    assert open_envelope(envelope, Keyring(KEY)).plaintext == plaintext


def test_the_layout_is_version_key_id_nonce_and_ciphertext() -> None:
    nonce = bytes(range(24))

    envelope = seal(b"vote", Keyring(KEY), nonce_source=lambda _: nonce)

    key_id = hashlib.sha256(b"fednode/keyid/1\0" + KEY.key).digest()[:8]
    header = b"\x01" + key_id
    ciphertext = crypto_aead_xchacha20poly1305_ietf_encrypt(b"vote", header, nonce, KEY.key)
    assert envelope == header + nonce + ciphertext


def test_the_owner_of_the_key_is_told_apart_from_the_network() -> None:
    ring = Keyring(KEY)
    ring.add(SENDER_KEY)

    assert open_envelope(sealed(b"vote"), ring).owner is None
    assert open_envelope(sealed(b"body", SENDER_KEY), ring).owner == 3


def test_an_envelope_under_an_unknown_or_forgotten_key_is_refused() -> None:
    ring = Keyring(KEY)
    ring.add(SENDER_KEY)
    ring.forget(SENDER_KEY.key_id)

    with pytest.raises(DecodeError, match="no key with id"):
        open_envelope(sealed(b"body", SENDER_KEY), ring)


def test_the_sealing_key_cannot_be_forgotten() -> None:
    ring = Keyring(KEY)

    ring.forget(KEY.key_id)

    assert open_envelope(sealed(b"vote"), ring).plaintext == b"vote"


def test_every_changed_byte_breaks_the_envelope() -> None:
    envelope = sealed(b"vote")

    for position in range(len(envelope)):
        changed = bytearray(envelope)
        changed[position] ^= 1
        with pytest.raises(DecodeError):
            open_envelope(bytes(changed), Keyring(KEY))


def test_random_bytes_are_refused_with_nothing_but_a_decode_error(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        data = rng.randbytes(rng.randrange(100))
        if rng.random() < 0.5:
            data = b"\x01" + KEY.key_id + data
        with pytest.raises(DecodeError):
            open_envelope(data, Keyring(KEY))


def test_an_envelope_beyond_the_limit_is_refused_before_it_is_opened() -> None:
    with pytest.raises(DecodeError, match=f"to {ENVELOPE_BYTES_MAX} bytes, got"):
        open_envelope(bytes(ENVELOPE_BYTES_MAX + 1), Keyring(KEY))
    with pytest.raises(ValueError, match="expected at most"):
        sealed(bytes(ENVELOPE_BYTES_MAX))


def test_a_ring_holds_a_bounded_number_of_keys() -> None:
    ring = Keyring(KEY)
    for number in range(1, KEYS_MAX):
        ring.add(NetworkKey(key=number.to_bytes(32, "big")))

    with pytest.raises(ValueError, match="at most 4096 keys"):
        ring.add(NetworkKey(key=b"\xff" * 32))


def test_a_key_of_another_length_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="expected a key of 32 bytes, got 31"):
        NetworkKey(key=bytes(31))

    assert repr(KEY.key) not in repr(KEY)
