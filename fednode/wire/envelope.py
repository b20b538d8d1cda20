"""Sealed envelopes: what the broker and everybody without the network key sees of a message.

Layout: version (1 byte) | key id (8) | nonce (24) | XChaCha20-Poly1305 ciphertext and tag (16).
The first two fields are authenticated as associated data. The topic is not: a broker may move a
payload to another topic, and nothing may depend on where it arrived (Rules P3 and P90).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from ledger.errors import DecodeError

ENVELOPE_VERSION = 1
KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 24
SEAL_BYTES = 16
HEADER_BYTES = 1 + KEY_ID_BYTES
ENVELOPE_OVERHEAD_BYTES = HEADER_BYTES + NONCE_BYTES + SEAL_BYTES
ENVELOPE_BYTES_MAX = 16 * 2**20
KEYS_MAX = 4096

_KEY_ID_TAG = b"fednode/keyid/1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkKey:
    """A symmetric key: the network key of Rule P90, or a key of one member's bodies.

    Attributes:
        key: 32 random bytes; never shown.
        owner: Number of the only member besides this node that has the key; None for a key that
            more members have and that therefore names nobody.
    """

    key: bytes = field(repr=False)
    owner: int | None = None

    def __post_init__(self) -> None:
        """Refuse a key of another length."""
        if len(self.key) != KEY_BYTES:
            raise ValueError(
                f"expected a key of {KEY_BYTES} bytes, got {len(self.key)}: "
                "copy the key file that came with the genesis again"
            )

    @property
    def key_id(self) -> bytes:
        """First 8 bytes of a hash of the key: names it without giving it away."""
        return hashlib.sha256(_KEY_ID_TAG + self.key).digest()[:KEY_ID_BYTES]


class Keyring:
    """The keys under which envelopes are opened, and the one under which they are sealed.

    Bounded by `KEYS_MAX` keys (Rule P37).

    Args:
        sealing_key: The key for outgoing envelopes; it also opens incoming ones.
    """

    def __init__(self, sealing_key: NetworkKey) -> None:
        self._keys = {sealing_key.key_id: sealing_key}
        self.sealing_key = sealing_key

    def add(self, key: NetworkKey) -> None:
        """Accept envelopes under `key` too.

        Raises:
            ValueError: If `KEYS_MAX` keys are held; forget those of closed epochs first.
        """
        if key.key_id not in self._keys and len(self._keys) >= KEYS_MAX:
            raise ValueError(f"expected at most {KEYS_MAX} keys: forget those of closed epochs")
        self._keys[key.key_id] = key

    def forget(self, key_id: bytes) -> None:
        """Drop a key that no open training round refers to (Rule P90); the sealing key stays."""
        if key_id != self.sealing_key.key_id:
            self._keys.pop(key_id, None)

    def find(self, key_id: bytes) -> NetworkKey | None:
        """Return the key of that id, or None."""
        return self._keys.get(key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Content of an envelope and the owner of the key that opened it (None: any member)."""

    plaintext: bytes
    owner: int | None


def seal(plaintext: bytes, keyring: Keyring, *, nonce_source: Callable[[int], bytes]) -> bytes:
    """Return `plaintext` sealed under the keyring's sealing key.

    Args:
        plaintext: At most `ENVELOPE_BYTES_MAX - ENVELOPE_OVERHEAD_BYTES` bytes.
        keyring: Holds the sealing key.
        nonce_source: Returns that many fresh random bytes; 24 of them never repeat in practice.

    Raises:
        ValueError: If `plaintext` is too long, which is a bug of the caller.
    """
    if len(plaintext) > ENVELOPE_BYTES_MAX - ENVELOPE_OVERHEAD_BYTES:
        raise ValueError(f"expected at most {ENVELOPE_BYTES_MAX} bytes, got {len(plaintext)}")
    key = keyring.sealing_key
    header = bytes([ENVELOPE_VERSION]) + key.key_id
    nonce = nonce_source(NONCE_BYTES)
    return (
        header
        + nonce
        + crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, header, nonce, key.key)
    )


def mark_of(envelope: bytes) -> bytes:
    """Return key id, nonce and tag: whoever has no key makes no second envelope with them open.

    Whoever has the key can, as it can send different things to different members anyway.
    """
    return envelope[1 : HEADER_BYTES + NONCE_BYTES] + envelope[-SEAL_BYTES:]


def open_envelope(envelope: bytes, keyring: Keyring) -> Opened:
    """Open an envelope under whichever key of the ring sealed it.

    Raises:
        DecodeError: If it is too short, too long, of another version, under an unknown key, or
            was changed on its way.
    """
    if not ENVELOPE_OVERHEAD_BYTES <= len(envelope) <= ENVELOPE_BYTES_MAX:
        raise DecodeError(
            f"envelope: expected {ENVELOPE_OVERHEAD_BYTES} to {ENVELOPE_BYTES_MAX} bytes, "
            f"got {len(envelope)}"
        )
    if envelope[0] != ENVELOPE_VERSION:
        raise DecodeError(f"envelope: expected version {ENVELOPE_VERSION}, got {envelope[0]}")
    header = envelope[:HEADER_BYTES]
    key = keyring.find(header[1:])
    if key is None:
        raise DecodeError(f"envelope: no key with id {header[1:].hex()}")
    nonce = envelope[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
    sealed = envelope[HEADER_BYTES + NONCE_BYTES :]
    try:
        plaintext = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, header, nonce, key.key)
    except CryptoError:
        raise DecodeError("envelope: the seal is broken: the bytes were changed") from None
    return Opened(plaintext=plaintext, owner=key.owner)
