"""Two processes never use one folder's key at a time (rule P60)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.errors import StorageError
from ledger.lock import LOCK_NAME, FolderLock

HOLD = """
import sys
from pathlib import Path
from ledger.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_which_one_holds_the_folder(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(StorageError, match=f"in use by process {process.pid}:.*stop that"):
            FolderLock(tmp_path)
        process.communicate()

    FolderLock(tmp_path).release()


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.communicate()

    with FolderLock(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text(encoding="ascii") == f"{os.getpid()}\n"


def test_the_same_process_cannot_hold_a_folder_twice(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "made")

    with pytest.raises(StorageError, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path / "made")

    lock.release()
    lock.release()


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="cannot lock"):
        FolderLock(tmp_path / "file")
