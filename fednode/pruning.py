"""Delete old bodies of a stopped node's folder (rule P53)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fednode.folders import BLOBS_NAME, open_ledger, state_folder
from ledger.blobs import Blobs
from ledger.lock import FolderLock
from ledger.records import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What pruning did, or would do."""

    deleted: int
    deleted_bytes: int
    kept: int


def prune_bodies(path: Path, *, keep: int, is_dry_run: bool = False) -> Pruned:
    """Delete the bodies that only blocks below the last `keep` heights name.

    What no block names stays: it may be of a height that is not decided. So do the current and the
    best model, those that may still become the best, their optimizer states, and the base of the
    first height that stays.

    Args:
        path: A member's folder.
        keep: Heights, counted from the last, whose bodies stay; at least 1.
        is_dry_run: Whether only to count.

    Raises:
        ConfigError: If there is no ledger.
        StorageError: If a node uses the folder, or the disk fails.
    """
    folder = state_folder(path)
    with FolderLock(folder), open_ledger(folder) as ledger:
        state, first_kept = ledger.state, max(1, ledger.head - keep + 1)
        old = {each for block in ledger.blocks(1, first_kept - 1) for each in _named(block)}
        needed = {
            each for block in ledger.blocks(first_kept, ledger.head) for each in _named(block)
        }
        needed |= {state.model_id, state.optimizer_id, state.best.model_id, state.best.optimizer_id}
        for model in state.judged:
            needed |= {model.model_id, model.optimizer_id}
        blobs = Blobs(folder / BLOBS_NAME)
        here = blobs.ids()
        unwanted = sorted((old - needed) & here)
        sizes = [blobs.size(each) or 0 for each in unwanted]
        if not is_dry_run:
            for each in unwanted:
                blobs.discard(each)
    return Pruned(deleted=len(unwanted), deleted_bytes=sum(sizes), kept=len(here) - len(unwanted))


def _named(block: Block) -> Iterator[bytes]:
    """The ids of all bodies that a block names: base, model, optimizer state, updates."""
    header = block.header
    yield from (header.base_model_id, header.results.model_id, header.results.optimizer_id)
    yield from (update.statement.update_id for update in block.updates)
