"""Ed25519 keys, signed statements and verified ones (rule P3).

`Signed[T]` is what travels: a statement, the number of the member that claims to have made it, and
a signature. `Verified[T]` is what the rest of the program accepts; only `verify` can build one, so
a forgotten signature check is a type error.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import ClassVar, Final, Generic, Protocol, TypeVar

import nacl.bindings
import nacl.exceptions
import nacl.signing

from ledger.encoding import U16, Signature, domain_tag, fixed_bytes
from ledger.errors import SignatureError
from ledger.slots import slotted

SEED_BYTES = 32
SIGNING_BYTES_KEPT: Final = 256
"""Statements whose signed bytes are kept; the longest, HAVE lists, take 50 KiB each."""
REMEMBERED_MAX: Final = 2**14
"""Valid signatures remembered: all votes of some views of the largest network."""
REMEMBERED_BYTES_MAX: Final = 256
"""Longest signed bytes that are remembered; those of a vote or a header are shorter."""


class Statement(Hashable, Protocol):
    """A record that members sign: `TAG` is its kind and version in the signed bytes."""

    TAG: ClassVar[str]


T_co = TypeVar("T_co", covariant=True)
StatementT = TypeVar("StatementT", bound=Statement)


class SignatureScheme(Protocol):
    """How signatures are checked; one scheme everywhere in a process (rule P3)."""

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is `public_key`'s over `message`."""


class Key(Protocol):
    """A member's secret key, as its holder uses it."""

    @property
    def public_key(self) -> bytes:
        """The 32 public bytes that the contract lists."""

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""


class Ed25519:
    """Signature checks by libsodium; a valid signature of a short statement is checked once.

    Votes come again and again: said again, in certificates, in entry proofs. And whoever makes up
    certificates of true votes and one false one costs others a single check each.
    """

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is the Ed25519 signature of `public_key` over `message`."""
        check = _check_once if len(message) <= REMEMBERED_BYTES_MAX else _check
        try:
            check(public_key, message, signature)
        except (nacl.exceptions.BadSignatureError, nacl.exceptions.ValueError):
            return False
        return True


def _check(public_key: bytes, message: bytes, signature: bytes) -> None:
    nacl.bindings.crypto_sign_open(signature + message, public_key)


# What raises is not remembered: only valid signatures take room, and these only members make.
_check_once = lru_cache(maxsize=REMEMBERED_MAX)(_check)


ED25519: Final = Ed25519()


class SecretKey:
    """An Ed25519 key made from a 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise SignatureError(f"expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        self._key = nacl.signing.SigningKey(seed)
        self._seed = seed

    @property
    def public_key(self) -> bytes:
        """The 32 public bytes that the contract lists."""
        return bytes(self._key.verify_key)

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes that only the holder of this key can know, others for each purpose."""
        return blake2b(purpose.encode(), key=self._seed, digest_size=32).digest()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over `message`."""
        return bytes(self._key.sign(message).signature)


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Generic[T_co]):
    """A statement as it travels; nothing about it is believed yet."""

    statement: T_co
    signer: U16
    signature: Signature


class Verified(Generic[T_co]):
    """A statement whose signature was checked; only `verify` builds one."""

    __slots__ = ("signed",)

    def __init__(self, signed: Signed[T_co], *, token: object) -> None:
        if token is not _TOKEN:
            raise RuntimeError("Verified is built by ledger.keys.verify only")
        self.signed = signed

    @property
    def statement(self) -> T_co:
        """What the member said."""
        return self.signed.statement

    @property
    def signer(self) -> int:
        """The number of the member that said it."""
        return self.signed.signer


_TOKEN: Final = object()


@lru_cache(maxsize=SIGNING_BYTES_KEPT)  # equal votes of all validators have equal bytes
def signing_bytes(statement: Statement, chain_id: bytes) -> bytes:
    """Return what a signature on `statement` covers: tag, chain id, fixed layout (rule P3)."""
    return domain_tag(statement.TAG) + chain_id + fixed_bytes(statement)


def sign(statement: StatementT, key: Key, *, signer: int, chain_id: bytes) -> Signed[StatementT]:
    """Return `statement` signed by member number `signer`; `consensus.signer` guards the key."""
    signature = key.sign(signing_bytes(statement, chain_id))
    return Signed(statement=statement, signer=signer, signature=signature)


def verify(
    signed: Signed[StatementT],
    public_key: bytes,
    *,
    chain_id: bytes,
    scheme: SignatureScheme = ED25519,
) -> Verified[StatementT]:
    """Check the signature of a statement under the public key of the member that it names.

    Raises:
        SignatureError: If the signature is not that member's; the sender's fault.
    """
    message = signing_bytes(signed.statement, chain_id)
    if not scheme.is_valid(public_key, message, signed.signature):
        kind = type(signed.statement).__name__
        raise SignatureError(f"{kind}: the signature is not that of member {signed.signer}")
    return Verified(signed, token=_TOKEN)
