"""Find a member's ledger in what a user names: the folder itself, or the member's around it."""

from pathlib import Path
from typing import Final

from fednode.errors import ConfigError
from ledger.bodies import body_id
from ledger.store import DATABASE_NAME, Ledger

BLOBS_NAME: Final = "blobs"
"""As `fednode.assembly` names it, which is too heavy for a command that only reads."""


def state_folder(path: Path) -> Path:
    """Return the folder that holds ledger and status: `path`, or what its `node.toml` names.

    Raises:
        ConfigError: If there is neither a ledger nor a configuration.
    """
    if (path / DATABASE_NAME).exists():
        return path
    # Imported when needed: a ledger can be read without any configuration.
    from fednode.config import load_config  # noqa: PLC0415
    from fednode.founding.members import CONFIG_NAME  # noqa: PLC0415

    file = path if path.is_file() else path / CONFIG_NAME
    if file.name.endswith(".toml") and file.exists():
        return load_config(file).node.folder
    raise ConfigError(
        f"expected a member's folder or its ledger at {path}, got neither {CONFIG_NAME} nor "
        f"{DATABASE_NAME}; name the folder that 'fednode init' made"
    )


def open_ledger(path: Path) -> Ledger:
    """Return the ledger of a member's folder, for reading; works while its node runs.

    Raises:
        ConfigError: If there is no ledger.
        StorageError: If it is damaged.
    """
    folder = state_folder(path)
    if not (folder / DATABASE_NAME).exists():
        raise ConfigError(
            f"expected a ledger in {folder}, got none; it is made by the first 'fednode run'"
        )
    return Ledger.open(folder, read_only=True)


def read_model_body(path: Path, model_id: bytes) -> bytes:
    """Return the body of a model from a member's folder, checked against its id.

    `Blobs` is for the node alone: it cleans the folder up when it is opened.

    Raises:
        ConfigError: If the folder does not hold the body, or not as it was.
    """
    file = state_folder(path) / BLOBS_NAME / model_id.hex()
    try:
        body = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"expected the model {model_id.hex()[:16]} at {file}, got: {error.strerror}; its node "
            "may have pruned it (node.keep_heights), take the folder of another member"
        ) from None
    if body_id(body) != model_id:
        raise ConfigError(
            f"expected the model {model_id.hex()[:16]} in {file}, got other bytes; the file is "
            "damaged, take the folder of another member"
        )
    return body
