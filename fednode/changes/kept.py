"""Pending operations on the disk: what members approved outlives the process (rule P81)."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from consensus.pending import OPERATIONS_PER_MEMBER
from ledger.encoding import Items, decode, encode
from ledger.errors import DecodeError, StorageError
from ledger.kinds import MEMBERS_MAX
from ledger.operations import Agreed

logger = logging.getLogger(__name__)

OPERATIONS_NAME: Final = "operations"
"""File in the node's folder, next to its ledger."""
KEPT_MAX: Final = OPERATIONS_PER_MEMBER * MEMBERS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOperations:
    """Operations with the approvals known so far, ascending by id."""

    operations: Annotated[tuple[Agreed, ...], Items(KEPT_MAX)]


DECODABLE: Final[tuple[object, ...]] = (KeptOperations,)


def save_operations(folder: Path, operations: Sequence[Agreed]) -> None:
    """Replace the pending operations of a node by these, whole or not at all.

    Raises:
        StorageError: If the disk fails.
    """
    path = folder / OPERATIONS_NAME
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            file.write(encode(KeptOperations(operations=tuple(operations))))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def load_operations(folder: Path) -> tuple[Agreed, ...]:
    """Return the pending operations of a node; none if there is no such file, or a damaged one.

    Nothing hangs on them: what others approved they say again, and an own approval can be given
    again (rule P35).
    """
    path = folder / OPERATIONS_NAME
    try:
        return decode(KeptOperations, path.read_bytes()).operations
    except FileNotFoundError:
        return ()
    except (OSError, DecodeError) as error:
        logger.warning("%s holds no pending operations: %s", path, error)
        return ()
