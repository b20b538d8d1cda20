"""What records have in common: ascending member numbers, and bitmaps."""

from functools import lru_cache
from itertools import pairwise

from ledger.errors import DecodeError


def check_ascending(numbers: list[int], what: str) -> None:
    """Refuse member numbers that are not strictly ascending.

    Raises:
        DecodeError: If two are equal or out of order.
    """
    if any(left >= right for left, right in pairwise(numbers)):
        raise DecodeError(f"expected {what} in strictly ascending member order, got {numbers}")


@lru_cache(maxsize=1024)  # the few bitmaps of a height are asked for again and again
def set_bits(bitmap: bytes) -> tuple[int, ...]:
    """Return the positions of the bits that are set, least significant first in each byte."""
    return tuple(
        8 * i + bit for i, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1
    )
