"""The own keys on the disk: there after a restart, unreadable for others, gone with the epoch."""

import os
import stat
from pathlib import Path

import pytest

from fednode.channel_store import FILE_NAME, ChannelStore
from fednode.wire.channels import OwnKeys
from ledger.encoding import encode
from ledger.errors import StorageError
from tests.support.ledger import keys
from tests.support.sender_keys import own_keys

KEY, OTHER_KEY = keys(2)
OLD, NEW = own_keys(0), own_keys(0, membership_epoch=6)


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def secrets_of(own: OwnKeys) -> tuple[bytes, ...]:
    return own.seed, own.sender_key.key, own.answer_key(1).key, encode(own)


def test_a_restarted_node_has_its_keys_again(tmp_path: Path) -> None:
    assert ChannelStore(tmp_path, KEY).load() is None

    ChannelStore(tmp_path, KEY).save(OLD)

    assert ChannelStore(tmp_path, KEY).load() == OLD


def test_keys_are_encrypted_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    ChannelStore(tmp_path, KEY).save(OLD)

    assert all(secret not in bytes_below(tmp_path) for secret in secrets_of(OLD))
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert ChannelStore(tmp_path, OTHER_KEY).load() is None


def test_nothing_of_an_epoch_is_in_the_folder_after_the_next_one_began(tmp_path: Path) -> None:
    """Not even encrypted; and the very bytes were overwritten before the file was replaced."""
    store = ChannelStore(tmp_path, KEY)
    store.save(OLD)
    sealed = (tmp_path / FILE_NAME).read_bytes()
    os.link(tmp_path / FILE_NAME, tmp_path / "the same bytes of the disk")

    store.save(NEW)

    found = bytes_below(tmp_path)
    assert sealed not in found
    assert sealed[24:] not in found
    assert (tmp_path / "the same bytes of the disk").read_bytes() == bytes(len(sealed))
    assert store.load() == NEW


def test_what_a_crash_left_half_written_is_overwritten_too(tmp_path: Path) -> None:
    store = ChannelStore(tmp_path, KEY)
    store.save(OLD)
    left_over = tmp_path / FILE_NAME.replace(".key", ".part")
    sealed = (tmp_path / FILE_NAME).read_bytes()
    left_over.write_bytes(sealed)

    store.save(NEW)

    assert sealed not in bytes_below(tmp_path)
    assert store.load() == NEW


@pytest.mark.parametrize("content", [b"", bytes(10), bytes(200), bytes(10_000)])
def test_a_damaged_file_is_as_none_and_said_in_the_log(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    assert ChannelStore(tmp_path, KEY).load() is None
    assert "new keys are drawn" in caplog.text


def test_a_disk_that_fails_is_an_error_of_the_storage(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()

    with pytest.raises(StorageError, match="cannot read"):
        ChannelStore(tmp_path, KEY).load()
    with pytest.raises(StorageError, match="cannot write"):
        ChannelStore(tmp_path, KEY).save(OLD)
