"""One incomplete body: its granules, the proof of its leaves, and who sent what. Pure, no clock."""

from dataclasses import dataclass, field

from fednode.wire.packets import (
    GRANULE_BYTES,
    HASH_BYTES,
    LEAF_GRANULES,
    BodyPacket,
    GranuleRange,
    granules_in,
)
from ledger.bodies import LEAF_BYTES
from ledger.merkle import leaf_hash


@dataclass(slots=True)
class PartialBody:
    """What has arrived of one body, and whom to believe about the rest."""

    origin: int
    total_bytes: int | None
    content: bytearray = field(default_factory=bytearray)
    present: int = 0  # bit i: granule i has arrived
    leaves: bytes = b""  # hashes of all leaves, once their root was checked
    checked: int = 0  # bit i: granule i belongs to a leaf that is whole and right
    senders: set[int | None] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    contested: bool = False
    only: int | None = None

    def clear(self) -> None:
        """Forget every packet."""
        self.content = bytearray()
        self.present = self.checked = 0
        self.leaves = b""
        self.senders = set()

    def drop_unchecked(self) -> None:
        """Forget what nothing proves."""
        if not self.leaves:
            self.clear()
        self.present = self.checked
        self.senders = set()

    def is_believed(self, sender: int | None) -> bool:
        """Return whether what proves nothing is taken from this sender."""
        return not self.contested or (self.only is not None and sender == self.only)

    @property
    def sound(self) -> int:
        """Bit i: granule i need not come again."""
        # Where leaves can be checked, only what was checked counts: the rest is asked for again.
        return self.checked if self.leaves else self.present

    @property
    def is_full(self) -> bool:
        """Whether every granule has arrived."""
        return bool(self.content) and self.sound == ones(granules_in(len(self.content)))

    def leaf_mask(self, index: int) -> int:
        """Bits of the granules of one leaf; the last leaf may be short."""
        first = index * LEAF_GRANULES
        end = min(first + LEAF_GRANULES, granules_in(len(self.content)))
        return ones(end - first) << first

    def is_leaf(self, index: int, data: bytes | memoryview) -> bool:
        """Return whether these are the bytes of one leaf, whose hash is known."""
        return leaf_hash(data) == self.leaves[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def fill(self, packet: BodyPacket, mask: int) -> None:
        """Copy the granules of `mask` from a packet."""
        for run in runs(mask, limit=packet.count):
            start, end = run.first * GRANULE_BYTES, (run.first + run.count) * GRANULE_BYTES
            offset = packet.first * GRANULE_BYTES
            # Slices end at the body's end by themselves, on both sides alike.
            self.content[start:end] = packet.data[start - offset : end - offset]
        self.present |= mask

    def check_leaf(self, index: int) -> bool:
        """Check a leaf if all of it is there; drop its granules and return False if it is wrong."""
        whole = self.leaf_mask(index)
        if whole & ~self.present or not whole & ~self.checked:
            return True
        leaf = memoryview(self.content)[index * LEAF_BYTES : (index + 1) * LEAF_BYTES]
        if self.is_leaf(index, leaf):
            self.checked |= whole
            return True
        self.present &= ~whole
        return False


def ones(count: int) -> int:
    """Return a number whose lowest `count` bits are set."""
    return (1 << count) - 1


def runs(bits: int, *, limit: int) -> tuple[GranuleRange, ...]:
    """Return the first `limit` runs of set bits, ascending."""
    found: list[GranuleRange] = []
    position = 0
    while bits and len(found) < limit:
        skipped = (bits & -bits).bit_length() - 1
        bits >>= skipped
        count = (~bits & (bits + 1)).bit_length() - 1
        bits >>= count
        found.append(GranuleRange(first=position + skipped, count=count))
        position += skipped + count
    return tuple(found)
