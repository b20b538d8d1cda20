"""A stop that outlasts the process: until a person has mended its cause (rules P28, P60)."""

import os
from pathlib import Path
from typing import Final

from fednode.errors import NodeError
from ledger.database import sync_folder
from ledger.errors import StorageError

HALTED_NAME: Final = "halted.txt"


class Halted:
    """Keeps why a node stopped for good, in its state folder.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / HALTED_NAME

    def keep(self, reason: str) -> str:
        """Make the reason durable and return it, with what to do.

        Raises:
            StorageError: If the disk fails.
        """
        text = f"{reason}; when the cause is mended, delete {self._path} and start again"
        temporary = self._path.with_suffix(".part")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from None
        return text

    def check(self) -> None:
        """Refuse to start where the node stopped for good.

        Raises:
            NodeError: With the message of the stop.
        """
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from None
        raise NodeError(text)
