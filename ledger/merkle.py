"""Merkle roots as in RFC 6962: over a list at once, or grown leaf by leaf (rules P4, P50, P55)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final

from ledger.encoding import U64, Digest, Items
from ledger.errors import DecodeError

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root over no leaves."""


def leaf_hash(leaf: bytes | memoryview) -> bytes:
    """Return the hash of one leaf; its prefix keeps leaves and nodes apart."""
    state = sha256(b"\x00")
    state.update(leaf)
    return state.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the 32-byte Merkle tree hash over `leaves`.

    References:
        RFC 6962, section 2.1: the left subtree holds the largest power of two below the count.
    """
    return root_of_hashes(leaf_hash(leaf) for leaf in leaves)


def root_of_hashes(hashes: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash over leaves that are already hashed."""
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        # An odd last node rises unchanged: it is the right subtree of a higher, larger node.
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[2 * len(paired) :]
    return level[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactRange:
    """All that a growing log must remember: the roots of its complete subtrees, largest first."""

    size: U64
    hashes: Annotated[tuple[Digest, ...], Items(64)]

    def __post_init__(self) -> None:
        """Refuse a number of subtrees that does not fit the size."""
        if len(self.hashes) != self.size.bit_count():
            expected = self.size.bit_count()
            raise DecodeError(
                f"a log of {self.size} has {expected} subtrees, not {len(self.hashes)}"
            )

    def append(self, leaf: bytes) -> "CompactRange":
        """Return the range with one more leaf."""
        hashes, grown = list(self.hashes), leaf_hash(leaf)
        size = self.size
        while size & 1:
            grown = node_hash(hashes.pop(), grown)
            size >>= 1
        return CompactRange(size=self.size + 1, hashes=(*hashes, grown))

    def root(self) -> bytes:
        """Return the root over all leaves so far, equal to `root` over their list."""
        if not self.hashes:
            return EMPTY_ROOT
        *left, current = self.hashes
        for each in reversed(left):
            current = node_hash(each, current)
        return current


EMPTY_RANGE: Final = CompactRange(size=0, hashes=())
