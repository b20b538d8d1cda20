"""Which bodies stay on the disk: those of the last heights, and what is needed anyway (P53)."""

from collections.abc import Iterable

from ledger.blobs import Blobs
from ledger.records import Block
from ledger.state import State


class BodyKeeper:
    """Deletes what no height among the last `keep_heights` was about.

    Bodies that came and were not included, and models of blocks that were not decided, go like all
    others. What lies in the folder without anybody knowing why goes as if the head were about it.

    Args:
        blobs: Where the bodies are.
        keep_heights: How many heights of bodies stay; 0 for all.
    """

    def __init__(self, blobs: Blobs, keep_heights: int) -> None:
        self._blobs = blobs
        self._keep_heights = keep_heights
        self._newest: dict[bytes, int] = {}

    def resume(self, blocks: Iterable[Block], head: int) -> None:
        """Take up what the ledger's last blocks say about the bodies in the folder."""
        if not self._keep_heights:
            return
        for body in self._blobs.ids():
            self._newest[body] = head
        for block in blocks:
            # A block below the head: its bodies are older than the head's.
            for body in bodies_of(block):
                self._newest[body] = block.header.height

    def note(self, height: int, *bodies: bytes) -> None:
        """Note bodies that a height is about."""
        if self._keep_heights:
            for body in bodies:
                self._newest[body] = max(height, self._newest.get(body, 0))

    def prune(self, block: Block, state: State) -> None:
        """Delete what is too old, after a block; never the current, best and judged models.

        Raises:
            StorageError: If the disk fails.
        """
        if not self._keep_heights:
            return
        height = block.header.height
        self.note(height, *bodies_of(block))
        needed = {state.model_id, state.best.model_id, *(each.model_id for each in state.judged)}
        old = [
            body for body, newest in self._newest.items() if newest <= height - self._keep_heights
        ]
        for body in old:
            if body not in needed:
                self._blobs.discard(body)
                del self._newest[body]


def bodies_of(block: Block) -> tuple[bytes, ...]:
    """Return the ids of the bodies that a block names: updates and model."""
    updates = (each.statement.update_id for each in block.updates)
    return (*updates, block.header.results.model_id)
