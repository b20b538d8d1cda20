"""One process per folder: an exclusive lock on the folder of a key and its ledger (rule P60)."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.errors import StorageError

LOCK_NAME = "lock"
PROCESS_ID_BYTES_MAX = 32


class FolderLock:
    """The exclusive right to use a folder, held until `release` or the end of the process.

    The kernel ends the lock with the process, however that ends, so a lock file that was left
    behind locks nobody out. The file names the process that holds it, for the refusal of another.

    Args:
        folder: The folder; created when it is not there.

    Raises:
        StorageError: If another process holds the lock, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot lock {folder}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, PROCESS_ID_BYTES_MAX).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StorageError(
                f"{folder} is in use by process {holder or 'unknown'}: two nodes with one key"
                " would contradict each other; stop that process or name another folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let others have the folder; doing so twice does nothing more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
