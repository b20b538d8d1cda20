"""One folder per network, and never one that is used."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fednode.errors import ConfigError
from fednode.testnet.folders import fresh_folder, used_folder


def noon() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_folder_without_a_name_is_new_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    folders = [fresh_folder(None, "demo", noon).root for _ in range(3)]

    assert [folder.name for folder in folders] == [
        "demo-20260301-120000",
        "demo-20260301-120000-2",
        "demo-20260301-120000-3",
    ]
    assert all(folder.parent == tmp_path / "runs" for folder in folders)


def test_used_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genesis.fed").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"to be empty, got files in it.*--resume"):
        fresh_folder(tmp_path, "demo", noon)


def test_empty_folder_is_accepted(tmp_path: Path) -> None:
    assert fresh_folder(tmp_path, "demo", noon).root == tmp_path


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")

    with pytest.raises(ConfigError, match="expected a folder"):
        fresh_folder(path, "demo", noon)


def test_going_on_needs_a_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got no genesis\.fed there"):
        used_folder(tmp_path)
