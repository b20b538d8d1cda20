"""A ledger made from blocks that somebody exported, whole or not at all (rules P53, P54)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fednode.errors import ConfigError
from ledger.genesis import Genesis
from ledger.lock import FolderLock
from ledger.records import Block, QuorumCertificate
from ledger.state import apply
from ledger.store import DATABASE_NAME, Ledger

UNFINISHED_NAME: Final = "import.part"


def write_ledger(
    genesis: Genesis,
    blocks: Sequence[Block],
    certificate: QuorumCertificate | None,
    folder: Path,
) -> None:
    """Write blocks that an audit found nothing wrong with as the ledger of a folder.

    It is made beside its place and moved there at the end, so an import that was interrupted is
    simply begun again.

    Raises:
        ConfigError: If the folder has a ledger.
        StorageError: If the folder is in use, or the disk fails.
    """
    with FolderLock(folder):
        if (folder / DATABASE_NAME).exists():
            raise ConfigError(
                f"expected a folder without a ledger, got {folder / DATABASE_NAME}; name another "
                "folder: a ledger is never replaced"
            )
        unfinished = folder / UNFINISHED_NAME
        shutil.rmtree(unfinished, ignore_errors=True)
        with Ledger.create(unfinished, genesis) as ledger:
            _append_all(ledger, blocks, certificate)
        (unfinished / DATABASE_NAME).rename(folder / DATABASE_NAME)
        shutil.rmtree(unfinished)


def _append_all(
    ledger: Ledger, blocks: Sequence[Block], certificate: QuorumCertificate | None
) -> None:
    state = ledger.state
    for block, following in zip(blocks, (*blocks[1:], None), strict=True):
        own = certificate if following is None else following.last_certificate[0]
        assert own is not None, "a ledger that holds has the certificate of its last block"
        state = apply(ledger.contract, state, block)
        ledger.append(block, own, state)
