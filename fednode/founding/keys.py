"""A member's secret key and the file that holds it."""

import os
import stat
from pathlib import Path
from typing import Final

import nacl.exceptions
import nacl.public
import nacl.signing

from fednode.errors import ConfigError
from ledger.keys import SEED_BYTES, SecretKey

OWNER_ONLY: Final = 0o600


class MemberKey:
    """One Ed25519 seed: signs as the member, and opens what is sealed for it.

    Args:
        seed: 32 secret random bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self.signing = SecretKey(seed)
        self._box_key = nacl.signing.SigningKey(seed).to_curve25519_private_key()

    @property
    def public_key(self) -> bytes:
        """The 32 public bytes that the contract lists."""
        return self.signing.public_key

    def open_box(self, box: bytes) -> bytes | None:
        """Return what `seal_box` put into a box for this key; None if it is for another."""
        try:
            return bytes(nacl.public.SealedBox(self._box_key).decrypt(box))
        except (nacl.exceptions.CryptoError, nacl.exceptions.TypeError):
            return None


def seal_box(content: bytes, public_key: bytes) -> bytes:
    """Return `content` so that only the holder of the key behind `public_key` can read it.

    Raises:
        ConfigError: If the bytes are no Ed25519 public key.

    References:
        libsodium's sealed boxes, to the Curve25519 form of the Ed25519 key.
    """
    try:
        key = nacl.signing.VerifyKey(public_key).to_curve25519_public_key()
    except (nacl.exceptions.RuntimeError, nacl.exceptions.ValueError):
        raise ConfigError(
            f"expected an Ed25519 public key, got {public_key.hex()}; ask for the card again"
        ) from None
    return bytes(nacl.public.SealedBox(key).encrypt(content))


def create_key_file(path: Path, seed: bytes) -> MemberKey:
    """Write a new secret key that only its owner can read, and return it.

    Raises:
        ConfigError: If the file exists: a key is never overwritten.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        raise ConfigError(
            f"expected no key at {path}, got one; a key is never replaced: name another folder"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write the key {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(seed.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return MemberKey(seed)


def load_key_file(path: Path) -> MemberKey:
    """Return the secret key in a file.

    Raises:
        ConfigError: If it cannot be read, others can read it, or it is no key.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        seed = _seed(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"expected the secret key at {path}, got: {error.strerror}; "
            "restore it, or correct node.key_file"
        ) from None
    if mode & 0o077:
        raise ConfigError(
            f"expected {path} to be readable by its owner only (600), got {mode:o}; "
            f"run 'chmod 600 {path}'"
        )
    if len(seed) != SEED_BYTES:
        raise ConfigError(
            f"expected {2 * SEED_BYTES} hexadecimal digits in {path}, got something else; "
            "restore the key from your copy"
        )
    return MemberKey(seed)


def _seed(text: bytes) -> bytes:
    # Empty for anything but hexadecimal digits.
    try:
        return bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        return b""
