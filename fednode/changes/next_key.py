"""The key after a rotation, beside the old one until it is the one in force (rule P81)."""

from pathlib import Path
from typing import Final

from fednode.errors import ConfigError
from fednode.founding.keys import MemberKey, create_key_file, load_key_file

NEXT_SUFFIX: Final = ".next"
OLD_SUFFIX: Final = ".old"


def next_key_path(key_file: Path) -> Path:
    """Return where the next key of a member lies."""
    return key_file.with_name(key_file.name + NEXT_SUFFIX)


def load_next_key(key_file: Path) -> MemberKey | None:
    """Return the next key of a member, None if none was made.

    Raises:
        ConfigError: If there is a file and it is no key, or others can read it.
    """
    path = next_key_path(key_file)
    return load_key_file(path) if path.exists() else None


def make_next_key(key_file: Path, seed: bytes) -> MemberKey:
    """Write the next key of a member and return it; one that was made before is used again.

    Raises:
        ConfigError: If it cannot be written, or the file there is no key.
    """
    known = load_next_key(key_file)
    return known or create_key_file(next_key_path(key_file), seed)


def promote_next_key(key_file: Path) -> None:
    """Put the next key, which is in force now, where the member's key was; keep the old one.

    Raises:
        ConfigError: If the files cannot be renamed.
    """
    number = 1
    while (old := key_file.with_name(f"{key_file.name}{OLD_SUFFIX}.{number}")).exists():
        number += 1
    try:
        key_file.rename(old)
        next_key_path(key_file).rename(key_file)
    except OSError as error:
        raise ConfigError(
            f"cannot put {next_key_path(key_file)} in the place of {key_file}: {error.strerror}; "
            "do it by hand, the new key is in force"
        ) from None
