"""Merkle trees as in RFC 6962: roots, grown roots, proofs (rules P4, P50, P55).

An *inclusion* proof shows that a leaf is at a place of the list under a root; a *consistency* proof
shows that one list is the beginning of a longer one. Both are at most one hash per level.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, TypeAlias

from ledger.encoding import U64, Digest, Items
from ledger.errors import DecodeError, LedgerError
from ledger.slots import slotted

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root over no leaves."""
Path: TypeAlias = Annotated[tuple[Digest, ...], Items(128)]
"""The hashes of a proof, in the order in which a check uses them."""


class ProofError(LedgerError):
    """A proof does not show what it was given for: refuse it."""


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
        level = _next_level(level)
    return level[0]


def prove_inclusion(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path from the leaf at `index` to the root over `leaves`.

    References:
        RFC 6962, section 2.1.1.
    """
    assert 0 <= index < len(leaves), f"no leaf {index} among {len(leaves)}"
    level = [leaf_hash(leaf) for leaf in leaves]
    path = []
    while len(level) > 1:
        if index ^ 1 < len(level):  # else it is the odd last node, which rises without a sibling
            path.append(level[index ^ 1])
        level = _next_level(level)
        index //= 2
    return tuple(path)


def check_inclusion(
    leaf: bytes, *, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> None:
    """Check that `leaf` is at `index` of the `size` leaves under a root.

    Raises:
        ProofError: If the path does not lead from this leaf at this place to the root.

    References:
        RFC 9162, section 2.1.3.2, which checks the proofs of RFC 6962.
    """
    if not 0 <= index < size:
        raise ProofError(f"expected a place in a list of {size}, got {index}")
    place, last, current = index, size - 1, leaf_hash(leaf)
    for each in path:
        if last == 0:
            raise ProofError(f"{len(path)} hashes are too many for a list of {size}")
        if place & 1 or place == last:
            current = node_hash(each, current)
            place, last = _risen(place, last)
        else:
            current = node_hash(current, each)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError(f"{len(path)} hashes are too few for a list of {size}")
    if current != expected_root:
        raise ProofError(f"the path from place {index} of {size} leads to another root")


def prove_consistency(leaves: Sequence[bytes], first: int) -> tuple[bytes, ...]:
    """Return what shows that the list of the `first` leaves is the beginning of all `leaves`.

    References:
        RFC 6962, section 2.1.2.
    """
    assert 0 < first <= len(leaves), f"expected 1 to {len(leaves)} leaves, got {first}"
    return tuple(_subproof([leaf_hash(leaf) for leaf in leaves], first, is_known=True))


def check_consistency(
    *, first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the `first` leaves under one root begin the `second` leaves under another.

    Raises:
        ProofError: If the path does not connect the two roots.

    References:
        RFC 9162, section 2.1.4.2, which checks the proofs of RFC 6962.
    """
    if not 0 < first <= second:
        raise ProofError(f"expected a beginning of 1 to {second} leaves, got {first}")
    if first == second:
        if path or first_root != second_root:
            raise ProofError(f"two lists of {first} are consistent only with equal roots, no path")
        return
    hashes = _known_hashes(first, first_root, path)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    small = large = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise ProofError(f"{len(path)} hashes are too many for lists of {first} and {second}")
        if place & 1 or place == last:
            small, large = node_hash(each, small), node_hash(each, large)
            place, last = _risen(place, last)
        else:
            large = node_hash(large, each)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError(f"{len(path)} hashes are too few for lists of {first} and {second}")
    if (small, large) != (first_root, second_root):
        raise ProofError(f"the list of {first} is not the beginning of the list of {second}")


def _known_hashes(first: int, first_root: bytes, path: Sequence[bytes]) -> list[bytes]:
    """Where a check of consistency begins, and what it goes on with."""
    if first & (first - 1) == 0:
        # The beginning is a complete tree: its root is the first hash, and the path leaves it out.
        return [first_root, *path]
    if not path:
        raise ProofError(f"expected hashes after the {first} leaves of the beginning, got none")
    return list(path)


def _subproof(hashes: list[bytes], first: int, *, is_known: bool) -> Iterator[bytes]:
    """RFC 6962's SUBPROOF; `is_known` while the checker has the root of this subtree's leaves."""
    if first == len(hashes):
        if not is_known:
            yield root_of_hashes(hashes)
        return
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if first <= split:
        yield from _subproof(hashes[:split], first, is_known=is_known)
        yield root_of_hashes(hashes[split:])
    else:
        yield from _subproof(hashes[split:], first - split, is_known=False)
        yield root_of_hashes(hashes[:split])


def _risen(place: int, last: int) -> tuple[int, int]:
    """Skip the levels at which an odd last node has no sibling."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _next_level(level: list[bytes]) -> list[bytes]:
    # An odd last node rises unchanged: it is the right subtree of a higher, larger node.
    paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return paired + level[2 * len(paired) :]


@slotted
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
