"""The own keys of the membership epoch in force, encrypted on the disk (rule P90).

A node that starts again in the same epoch has its keys again, so what others boxed for it still
opens. There is one file with the keys of one epoch; what others sent is not kept, but asked for
again. Older keys are overwritten before the file is replaced. A disk or a file system that keeps
old blocks, and any copy of the folder, may have them still; then they are as safe as the member's
secret key, from which the key of this file is derived.
"""

import logging
import os
from pathlib import Path
from typing import Final

import nacl.exceptions
import nacl.secret

from fednode.wire.channels import OwnKeys
from ledger.database import sync_folder
from ledger.encoding import decode, encode
from ledger.errors import DecodeError, StorageError
from ledger.keys import SecretKey

logger = logging.getLogger(__name__)

FILE_NAME: Final = "channel.key"
FILE_BYTES_MAX: Final = 1024
OWNER_ONLY: Final = 0o600
_PURPOSE: Final = "fednode channel file 1"


class ChannelStore:
    """One encrypted file in the node's folder, which the node holds locked.

    Args:
        folder: The folder; it exists.
        key: The member's secret key.
    """

    def __init__(self, folder: Path, key: SecretKey) -> None:
        self._path = folder / FILE_NAME
        self._box = nacl.secret.SecretBox(key.derived(_PURPOSE))

    def load(self) -> OwnKeys | None:
        """Return the keys that were saved last; None if there are none that this member can read.

        Raises:
            StorageError: If the file cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                sealed = file.read(FILE_BYTES_MAX)
            return decode(OwnKeys, self._box.decrypt(sealed))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from None
        except (DecodeError, ValueError, nacl.exceptions.CryptoError):
            logger.warning("%s is damaged: new keys are drawn and sent to all", self._path)
            return None

    def save(self, keys: OwnKeys) -> None:
        """Replace what is kept; durable when this returns.

        Raises:
            StorageError: If the disk is full or fails.
        """
        temporary = self._path.with_suffix(".part")
        try:
            self._overwrite(temporary)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._box.encrypt(encode(keys)))
                file.flush()
                os.fsync(file.fileno())
            self._overwrite(self._path)
            temporary.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from None

    @staticmethod
    def _overwrite(path: Path) -> None:
        try:
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError:
            return
