"""Bodies on disk are whole and durable, or not there (rules P4, P53)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.blobs import TEMPORARY_SUFFIX, Blobs
from ledger.bodies import LEAF_BYTES, body_id
from ledger.database import sync_folder
from ledger.errors import StorageError
from tests.support.ledger import digest

BODY = bytes(range(256)) * 1024


def test_a_stored_body_is_found_under_its_id_also_after_reopening(tmp_path: Path) -> None:
    blob_id = Blobs(tmp_path / "made").put(memoryview(BODY))

    again = Blobs(tmp_path / "made")

    assert blob_id == body_id(BODY)
    assert again.has(blob_id)
    assert again.get(blob_id) == BODY
    assert again.path(blob_id).read_bytes() == BODY
    assert again.ids() == {blob_id}
    assert again.size(blob_id) == len(BODY)


def test_a_body_is_written_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    blob_id = blobs.put(BODY)
    first = blobs.path(blob_id).stat()

    assert blobs.put(BODY) == blob_id

    assert blobs.path(blob_id).stat() == first


def test_a_body_is_not_here_for_other_threads_before_its_name_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule P60: a vote that builds on it must not leave before it."""
    blobs = Blobs(tmp_path)
    seen: list[bool] = []

    def watched_sync(folder: Path) -> None:
        assert blobs.path(body_id(BODY)).is_file()
        seen.append(blobs.has(body_id(BODY)))
        sync_folder(folder)

    monkeypatch.setattr("ledger.blobs.sync_folder", watched_sync)
    blobs.put(BODY)

    assert seen == [False]
    assert blobs.has(body_id(BODY))


def test_leftovers_of_interrupted_writes_are_removed_when_the_folder_is_opened(
    tmp_path: Path,
) -> None:
    blob_id = Blobs(tmp_path).put(BODY)
    (tmp_path / f"{blob_id.hex()}.1{TEMPORARY_SUFFIX}").write_bytes(BODY[:100])

    blobs = Blobs(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [blob_id.hex()]
    assert blobs.get(blob_id) == BODY


def test_a_body_that_is_not_here_is_reported(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    assert not blobs.has(digest("other"))
    assert blobs.size(digest("other")) is None
    with pytest.raises(StorageError, match=r"cannot read .*: No such file"):
        blobs.get(digest("other"))


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"\1" + b[1:]])
def test_a_damaged_body_is_never_returned(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    blobs = Blobs(tmp_path)
    blob_id = blobs.put(BODY)
    blobs.path(blob_id).write_bytes(damage(BODY))

    with pytest.raises(StorageError, match=r"was damaged: .* the node will fetch"):
        blobs.get(blob_id)

    assert not blobs.has(blob_id)
    assert blobs.get(blobs.put(BODY)) == BODY


def test_a_discarded_body_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    ids = [blobs.put(bytes([i]) * (LEAF_BYTES + i)) for i in range(3)]

    blobs.discard(ids[1])
    blobs.discard(digest("never stored"))

    assert blobs.ids() == {ids[0], ids[2]}


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule P53, by the order of the system calls; a power cut between any two loses nothing."""
    blobs = Blobs(tmp_path)
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        done.append(f"fsync {'folder' if name == tmp_path.name else Path(name).suffix}")
        fsync(descriptor)

    def recorded_replace(self: Path, target: Path) -> Path:
        done.append(f"rename {self.suffix}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    blobs.put(BODY)

    assert done == [f"fsync {TEMPORARY_SUFFIX}", f"rename {TEMPORARY_SUFFIX}", "fsync folder"]


def test_a_failing_fsync_is_reported_and_leaves_no_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path)

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"cannot write .*: Input/output error"):
        blobs.put(BODY)

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_no_body(tmp_path: Path) -> None:
    """The limit on file sizes stands for the disk; it holds for one child process only."""
    script = (
        "import resource, sys; from pathlib import Path; from ledger.blobs import Blobs;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "from ledger.errors import StorageError; blobs = Blobs(Path(sys.argv[1]))\n"
        "try:\n    blobs.put(bytes(100_000))\n"
        "except StorageError as error:\n    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "cannot write" in done.stdout
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="cannot open"):
        Blobs(tmp_path / "file")


def test_ids_have_32_bytes(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Blobs(tmp_path).has(b"short")
