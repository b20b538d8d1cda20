"""A signature scheme of keyed hashes: a hundred times faster than Ed25519, for simulations only.

Anyone who knows the public key can forge, but no simulated member does: what the simulator looks
for are faults of the protocol, not of the cryptography.
"""

from hashlib import blake2b
from typing import Final

from ledger.keys import Key, SecretKey, SignatureScheme


class StubScheme:
    """Checks what `StubKey` signs."""

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return signature == _mac(public_key, message)


class StubKey:
    """A key whose signatures are hashes keyed with its public bytes."""

    def __init__(self, seed: bytes) -> None:
        self.public_key: Final = blake2b(seed, digest_size=32).digest()

    def sign(self, message: bytes) -> bytes:
        return _mac(self.public_key, message)


class MemoScheme:
    """Remembers what another scheme found: all simulated nodes see the same few signatures."""

    def __init__(self, scheme: SignatureScheme) -> None:
        self._scheme = scheme
        self._known: dict[tuple[bytes, bytes, bytes], bool] = {}

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        claim = (public_key, message, signature)
        known = self._known.get(claim)
        if known is None:
            known = self._known[claim] = self._scheme.is_valid(public_key, message, signature)
        return known


def make_key(seed: bytes, *, is_real: bool) -> Key:
    """The key of one member: Ed25519 when `is_real`, else a stub."""
    return SecretKey(seed) if is_real else StubKey(seed)


def _mac(key: bytes, message: bytes) -> bytes:
    return blake2b(message, key=key, digest_size=64).digest()
