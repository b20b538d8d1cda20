"""Bodies of updates that a node keeps in memory from their check to the end of their height.

The aggregate needs them all at once anyway; reading and hashing them again would only cost time.
So what arrives is checked, stored and aggregated from the memory into which its packets were put.
"""

from typing import Final

from fednode.blockwork import CheckedBodies

KEPT_BYTES_MAX: Final = 2**30
"""Bodies beyond this are read from the disk again (rule P37)."""


class KeptBodies:
    """Checked bodies by update id, of the open heights."""

    def __init__(self) -> None:
        self._bodies: dict[bytes, tuple[int, bytes | memoryview]] = {}
        self._size = 0

    def add(self, height: int, update_id: bytes, body: bytes | memoryview) -> None:
        """Keep a body that was checked, if there is room."""
        if update_id not in self._bodies and self._size + len(body) <= KEPT_BYTES_MAX:
            self._bodies[update_id] = (height, body)
            self._size += len(body)

    def of(self, update_ids: tuple[bytes, ...]) -> CheckedBodies:
        """Return those of the named bodies that are kept."""
        return {each: self._bodies[each][1] for each in update_ids if each in self._bodies}

    def drop_through(self, height: int) -> None:
        """Forget the bodies of decided heights."""
        self._bodies = {
            update_id: kept for update_id, kept in self._bodies.items() if kept[0] > height
        }
        self._size = sum(len(body) for _, body in self._bodies.values())
