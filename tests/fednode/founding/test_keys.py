"""Key files: made once, readable by their owner only, and never mistaken for something else."""

import stat
from pathlib import Path

import pytest

from fednode.errors import ConfigError
from fednode.founding.keys import MemberKey, create_key_file, load_key_file, seal_box
from ledger.keys import ED25519

SEED = bytes(range(32))


def test_key_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k", SEED)

    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_loaded_key_signs_as_the_one_that_was_made(tmp_path: Path) -> None:
    made = create_key_file(tmp_path / "k", SEED)

    loaded = load_key_file(tmp_path / "k")

    assert loaded.public_key == made.public_key
    assert ED25519.is_valid(made.public_key, b"m", loaded.signing.sign(b"m"))


def test_key_file_is_never_replaced(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k", SEED)

    with pytest.raises(ConfigError, match=r"expected no key at .* a key is never replaced"):
        create_key_file(tmp_path / "k", bytes(32))
    assert load_key_file(tmp_path / "k").public_key == MemberKey(SEED).public_key


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k", SEED)
    (tmp_path / "k").chmod(0o640)

    with pytest.raises(ConfigError, match=r"owner only \(600\), got 640; run 'chmod 600"):
        load_key_file(tmp_path / "k")


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 64])
def test_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)
    (tmp_path / "k").chmod(0o600)

    with pytest.raises(ConfigError, match="expected 64 hexadecimal digits"):
        load_key_file(tmp_path / "k")


def test_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected the secret key at .*nothing, got: No such"):
        load_key_file(tmp_path / "nothing")


def test_box_opens_for_its_owner_and_nobody_else() -> None:
    owner, other = MemberKey(SEED), MemberKey(bytes(32))

    box = seal_box(b"content", owner.public_key)

    assert owner.open_box(box) == b"content"
    assert other.open_box(box) is None
    assert owner.open_box(box[:-1] + bytes([box[-1] ^ 1])) is None
    assert owner.open_box(b"") is None


def test_box_for_something_that_is_no_public_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected an Ed25519 public key"):
        seal_box(b"content", b"\x02" + bytes(31))
