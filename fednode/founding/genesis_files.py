"""Genesis files: the canonical bytes of a contract with the signatures collected so far."""

import os
from pathlib import Path
from typing import Final

from fednode.errors import ConfigError
from ledger.encoding import decode, encode
from ledger.errors import DecodeError
from ledger.genesis import Genesis
from ledger.genesis_rules import check_contract

FILE_BYTES_MAX: Final = 64 << 20


def load_genesis(path: Path) -> Genesis:
    """Return the genesis in a file; its signatures are not checked.

    Raises:
        ConfigError: If the file cannot be read or holds no genesis.
        ContractError: If its terms cannot hold.
    """
    genesis = decode_genesis(path)
    check_contract(genesis.contract)
    return genesis


def decode_genesis(path: Path) -> Genesis:
    """Return the genesis in a file; neither terms nor signatures are checked, as for an audit.

    Raises:
        ConfigError: If the file cannot be read or holds no genesis.
    """
    data = read_public_file(path, "a genesis file")
    try:
        return decode(Genesis, data, bytes_max=FILE_BYTES_MAX)
    except DecodeError as error:
        raise ConfigError(f"{path}: expected a genesis, got: {error}; copy it again") from None


def save_genesis(path: Path, genesis: Genesis, *, is_new: bool = False) -> None:
    """Write a genesis file whole or not at all.

    Args:
        path: The file.
        genesis: What it is to hold.
        is_new: Whether a file that exists must not be replaced.

    Raises:
        ConfigError: If the file cannot be written, or must not be replaced.
    """
    if is_new:
        save_new(path, encode(genesis))
        return
    partial = path.with_name(f"{path.name}.part")
    try:
        partial.write_bytes(encode(genesis))
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another file") from None


def check_absent(*paths: Path) -> None:
    """Check that none of some public files exists yet, before the first of them is written.

    Raises:
        ConfigError: If one exists.
    """
    for path in paths:
        if path.exists():
            raise ConfigError(
                f"expected no file at {path}, got one that others may have signed or use; name "
                "another file or remove it"
            )


def save_new(path: Path, data: bytes) -> None:
    """Write a public file that does not exist yet.

    Raises:
        ConfigError: If it exists or cannot be written.
    """
    check_absent(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another file") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def read_public_file(path: Path, what: str) -> bytes:
    """Return the bytes of a file that others made.

    Raises:
        ConfigError: If it cannot be read, or is larger than any such file.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: expected {what}, got more than 64 MiB; name another file")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"expected {what} at {path}, got: {error.strerror}; copy it there, or name another"
        ) from None
