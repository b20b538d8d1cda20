"""Bodies of updates and models as files named by their content (rules P4, P53).

A body that `put` returned for is durable, whole and readable under its id, or it is not there at
all: temporary name, fsync, rename, fsync of the folder.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ledger.bodies import body_id
from ledger.database import sync_folder
from ledger.errors import StorageError

TEMPORARY_SUFFIX = ".part"
DAMAGED_SUFFIX = ".damaged"
ID_BYTES = 32


class Blobs:
    """A folder of bodies; left-overs of interrupted writes are removed when it is opened.

    One process at a time may write (`ledger.lock`); several threads may.

    Args:
        folder: The folder; created when it is not there.

    Raises:
        StorageError: If the folder cannot be created or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _storage_errors(f"cannot open {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
                path.unlink()
            # A rename of a process that was killed before its fsync becomes durable here.
            sync_folder(folder)
        self._numbers = count(1)
        self._unsettled: set[bytes] = set()

    def path(self, blob_id: bytes) -> Path:
        """Return where the body with this id is or would be."""
        assert len(blob_id) == ID_BYTES, f"a body id has {ID_BYTES} bytes, got {len(blob_id)}"
        return self._folder / blob_id.hex()

    def has(self, blob_id: bytes) -> bool:
        """Return whether the body is here and durable."""
        return blob_id not in self._unsettled and self.path(blob_id).is_file()

    def size(self, blob_id: bytes) -> int | None:
        """Return the length of a body in bytes, None when it is not here."""
        try:
            return self.path(blob_id).stat().st_size
        except FileNotFoundError:
            return None

    def put(self, body: bytes | memoryview) -> bytes:
        """Store a body durably and return its 32-byte id; one that is here is not written again.

        Raises:
            StorageError: If the disk is full or fails; nothing is then stored.
        """
        return self.put_as(body_id(body), body)

    def put_as(self, blob_id: bytes, body: bytes | memoryview) -> bytes:
        """Store a body as `put` does, whose id the caller found by hashing these very bytes.

        Raises:
            StorageError: If the disk is full or fails; nothing is then stored.
        """
        path = self.path(blob_id)
        if self.has(blob_id):
            return blob_id
        temporary = path.with_suffix(f".{next(self._numbers)}{TEMPORARY_SUFFIX}")
        # Another thread must not find it, and a vote build on it, before its name is durable.
        self._unsettled.add(blob_id)
        with _storage_errors(f"cannot write {path}"):
            try:
                with temporary.open("wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(self._folder)
        self._unsettled.discard(blob_id)
        return blob_id

    def get(self, blob_id: bytes) -> bytes:
        """Read a body and check that it is the one its name says.

        It is read once and hashed in place, so a body of 40 MB costs 40 MB.

        Raises:
            StorageError: If it is not here, or its bytes are no longer those that were stored.
        """
        path = self.path(blob_id)
        with _storage_errors(f"cannot read {path}"):
            body = path.read_bytes()
        if body_id(body) != blob_id:
            aside = path.with_suffix(DAMAGED_SUFFIX)
            with _storage_errors(f"cannot set aside {path}"):
                path.replace(aside)
            raise StorageError(
                f"{path} was damaged: its {len(body)} bytes do not hash to its name;"
                f" it is now {aside.name}, and the node will fetch the body again; check the disk"
            )
        return body

    def ids(self) -> frozenset[bytes]:
        """Return the ids of all bodies that are here."""
        with _storage_errors(f"cannot list {self._folder}"):
            names = [path.name for path in self._folder.iterdir()]
        return frozenset(bytes.fromhex(name) for name in names if _is_id(name))

    def discard(self, blob_id: bytes) -> None:
        """Delete a body that the keeper's policy no longer wants, if it is here."""
        with _storage_errors(f"cannot delete {self.path(blob_id)}"):
            self.path(blob_id).unlink(missing_ok=True)


def _is_id(name: str) -> bool:
    return len(name) == 2 * ID_BYTES and set(name) <= set("0123456789abcdef")


@contextmanager
def _storage_errors(action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{action}: {error.strerror}") from None
