"""A disk whose power can fail at any write, fsync, rename or deletion, and what is on it then.

Every change under the watched folder is an *operation* with a number. With a cut planned before
operation k, that one and all later ones fail and change nothing. `Images` then tells what a
computer may find when the power is back: a file system keeps what was synced, and of the rest
whatever it likes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import Final
from unittest import mock

from tests.crash.sqlite_vfs import FULL, IO_ERROR, OK, observed_sqlite

SECTOR_BYTES: Final = 512


class Loss(Enum):
    """What becomes of changes that were not synced when the power went."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"
    MIXED = "mixed"


class Failure(Enum):
    """How the disk fails from the planned operation on."""

    POWER = "power"
    FULL = "full"


@dataclass(slots=True)
class _Inode:
    """A file's bytes on the disk, and the changes to them that are not."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and bytes of a write, or size and None of a truncation."""

    def sync(self) -> None:
        for offset, data in self.pending:
            change(self.durable, offset, data)
        self.pending.clear()


def change(content: bytearray, offset: int, data: bytes | None) -> None:
    """Carry out a write at `offset`, or without data a truncation to `offset` bytes."""
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class PowerDisk:
    """Watches a folder, fails when told to, and rebuilds what survived.

    Args:
        folder: Everything under it is watched while `watched` lasts.

    Attributes:
        operations: Changes so far, one short text each.
        fail_at: Number of the first operation that fails; None for never.
        failure: How it fails.
    """

    def __init__(self, folder: Path) -> None:
        self.operations: list[str] = []
        self.fail_at: int | None = None
        self.failure = Failure.POWER
        self._folder = folder
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._pending_names: list[tuple[Path, Callable[[dict[Path, _Inode]], object]]] = []
        self._fresh_journals: set[Path] = set()
        self._is_restoring = False

    @property
    def has_failed(self) -> bool:
        """Whether the planned operation was reached."""
        return self.fail_at is not None and len(self.operations) >= self.fail_at

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the changes that SQLite and `os` make under the folder."""
        with ExitStack() as stack:
            stack.enter_context(observed_sqlite(self))
            for name, replacement in (
                ("fsync", self._os_fsync),
                ("rename", self._os_rename),
                ("replace", self._os_rename),
                ("unlink", self._os_unlink),
            ):
                wrapped = replacement(getattr(os, name))
                stack.enter_context(mock.patch.object(os, name, wrapped))
            yield

    # --- what SQLite does -----------------------------------------------------------------------

    def created(self, path: Path) -> int:
        """A file appears, empty; SQLite syncs the folder of a journal with its first sync."""
        if not self._is_watched(path):
            return OK
        if not self._begin(f"create {path.name}"):
            return self._code
        self._create(path)
        if path.name.endswith(("-wal", "-journal")):
            self._fresh_journals.add(path)
        return OK

    def write(self, path: Path, offset: int, data: bytes) -> int:
        """Some bytes change."""
        if not self._is_watched(path):
            return OK
        if not self._begin(f"write {path.name} {offset} {len(data)}"):
            return self._code
        self._names[path].pending.append((offset, data))
        return OK

    def truncate(self, path: Path, size: int) -> int:
        """The end of a file goes."""
        if not self._is_watched(path):
            return OK
        if not self._begin(f"truncate {path.name} {size}"):
            return self._code
        self._names[path].pending.append((size, None))
        return OK

    def sync(self, path: Path) -> int:
        """Everything in a file becomes durable."""
        if not self._is_watched(path):
            return OK
        if not self._begin(f"sync {path.name}"):
            return self._code
        self._names[path].sync()
        if path in self._fresh_journals:
            self._fresh_journals.discard(path)
            self._settle_names(path.parent)
        return OK

    def delete(self, path: Path) -> int:
        """A file goes."""
        if not self._is_watched(path):
            return OK
        if not self._begin(f"delete {path.name}"):
            return self._code
        self._name(path, lambda names: names.pop(path, None))
        return OK

    # --- what Python does -----------------------------------------------------------------------

    def _os_fsync(self, original: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if self._is_watched(path):
                if path.is_dir():
                    self._attempt(f"sync folder {path.name}")
                    self._settle_names(path)
                else:
                    self._write_whole(path)
                    self._attempt(f"sync {path.name}")
                    self._names[path].sync()
            original(descriptor)

        return fsync

    def _os_rename(self, original: Callable[..., None]) -> Callable[..., None]:
        def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            old, new = Path(source), Path(target)
            if self._is_watched(old):
                if old not in self._names:
                    self._write_whole(old)
                self._attempt(f"rename {old.name} {new.name}")
                inode = self._names[old]

                def move(names: dict[Path, _Inode]) -> None:
                    names.pop(old, None)
                    names[new] = inode

                self._name(new, move)
            original(source, target)

        return rename

    def _os_unlink(self, original: Callable[..., None]) -> Callable[..., None]:
        def unlink(path: os.PathLike[str]) -> None:
            gone = Path(path)
            if self._is_watched(gone) and gone.exists():
                self._attempt(f"unlink {gone.name}")
                self._name(gone, lambda names: names.pop(gone, None))
            original(path)

        return unlink

    def _write_whole(self, path: Path) -> None:
        """Note what Python wrote into a new file before it asks for its sync."""
        self._attempt(f"create {path.name}")
        self._create(path)
        content = path.read_bytes()
        self._attempt(f"write {path.name} 0 {len(content)}")
        self._names[path].pending.append((0, content))

    # --- failing --------------------------------------------------------------------------------

    def _is_watched(self, path: Path) -> bool:
        return not self._is_restoring and path.is_relative_to(self._folder)

    def _begin(self, operation: str) -> bool:
        if self.has_failed:
            return False
        self.operations.append(operation)
        return True

    @property
    def _code(self) -> int:
        return FULL if self.failure is Failure.FULL else IO_ERROR

    def _attempt(self, operation: str) -> None:
        if not self._begin(operation):
            raise OSError(5, f"the power is off at {operation}")

    # --- names ----------------------------------------------------------------------------------

    def _create(self, path: Path) -> None:
        inode = _Inode()
        self._name(path, lambda names: names.__setitem__(path, inode))

    def _name(self, path: Path, step: Callable[[dict[Path, _Inode]], object]) -> None:
        step(self._names)
        self._pending_names.append((path.parent, step))

    def _settle_names(self, folder: Path) -> None:
        for parent, step in self._pending_names:
            if parent == folder:
                step(self._durable_names)
        self._pending_names = [each for each in self._pending_names if each[0] != folder]

    # --- after the cut --------------------------------------------------------------------------

    def restore(self, loss: Loss, rng: Random) -> None:
        """Make the folder what a computer finds after the cut, and watch on from there."""
        names = dict(self._durable_names)
        kept = len(self._pending_names)
        if loss is Loss.LOST:
            kept = 0
        elif loss is Loss.MIXED:
            kept = rng.randint(0, kept)
        for _, step in self._pending_names[:kept]:
            step(names)
        found = {path: _surviving(inode, loss, rng) for path, inode in names.items()}
        self._is_restoring = True
        for path in filter(Path.is_file, self._folder.rglob("*")):
            path.unlink()  # also SQLite's shared memory, which ends with its processes
        for path, content in found.items():
            path.write_bytes(content)
        self._is_restoring = False
        self._names = {path: _Inode(durable=bytearray(content)) for path, content in found.items()}
        self._durable_names = dict(self._names)
        self._pending_names = []
        self._fresh_journals.clear()
        self.fail_at = None


def _surviving(inode: _Inode, loss: Loss, rng: Random) -> bytes:
    content = bytearray(inode.durable)
    pending = [] if loss is Loss.LOST else inode.pending
    for number, (offset, data) in enumerate(pending, start=1):
        if loss is Loss.MIXED:
            for start, part in _sectors(data):
                if rng.random() < 0.5:
                    change(content, offset + start, part)
        elif loss is Loss.TORN and number == len(pending) and data is not None:
            change(content, offset, _half(data))
        else:
            change(content, offset, data)
    return bytes(content)


def _sectors(data: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    """The parts of a change that a disk writes at once: a truncation is one."""
    if data is None:
        yield 0, None
        return
    for start in range(0, len(data), SECTOR_BYTES):
        yield start, data[start : start + SECTOR_BYTES]


def _half(data: bytes) -> bytes:
    """The first half of the sectors of a write, at least none."""
    sectors = -(-len(data) // SECTOR_BYTES)
    return data[: sectors // 2 * SECTOR_BYTES]
