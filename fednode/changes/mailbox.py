"""Orders of a member to its own node: files that commands leave and the node takes (rule P81).

A running node is the only user of its key and its ledger, and one that is down starts later; both
are reached by a file in the member's own folder.
"""

import logging
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from secrets import token_hex
from typing import ClassVar, Final, TypeAlias

from fednode.errors import ConfigError
from ledger.encoding import Digest, decode, encode_as
from ledger.errors import DecodeError
from ledger.operations import Operation

logger = logging.getLogger(__name__)

MAILBOX_NAME: Final = "mailbox"
SUFFIX: Final = ".order"
ORDERS_MAX: Final = 64
"""Orders that may lie in a mailbox; a command refuses to leave more."""
ORDER_BYTES_MAX: Final = 1 << 20


class OrderKind(IntEnum):
    """First item of each order."""

    OFFER = 1
    APPROVE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The member wants this operation: its node approves it and tells the others."""

    KIND: ClassVar[OrderKind] = OrderKind.OFFER

    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """The member approves an operation that another one brought up."""

    KIND: ClassVar[OrderKind] = OrderKind.APPROVE

    operation_id: Digest


Order: TypeAlias = Offer | Approve
DECODABLE: Final[tuple[object, ...]] = (Offer, Approve)
_CLASSES: Final[dict[int, type[Order]]] = {int(each.KIND): each for each in (Offer, Approve)}


def encode_order(order: Order) -> bytes:
    """Return the content of an order's file."""
    return encode_as(type(order), order)


def decode_order(data: bytes) -> Order:
    """Read the content of an order's file.

    Raises:
        DecodeError: If it is no order.
    """
    order_class = _CLASSES.get(data[1]) if len(data) > 1 else None
    if order_class is None:
        raise DecodeError("order: expected an array that starts with the number of a known kind")
    return decode(order_class, data)


class Mailbox:
    """A folder of orders, in the order in which they were left.

    Args:
        folder: The node's folder (`node.folder`); the mailbox lies in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / MAILBOX_NAME

    def put(self, order: Order, *, now_ms: int) -> Path:
        """Leave an order, durably and whole or not at all.

        Raises:
            ConfigError: If the mailbox is full or cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if len(self.waiting()) >= ORDERS_MAX:
                raise ConfigError(
                    f"expected room in {self._folder}, got {ORDERS_MAX} orders that no node has "
                    "taken; start the node with 'fednode run', or remove them"
                )
            path = self._folder / f"{now_ms:016d}-{token_hex(4)}{SUFFIX}"
            partial = path.with_suffix(".part")
            with partial.open("wb") as file:
                file.write(encode_order(order))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise ConfigError(f"cannot write {self._folder}: {error.strerror}") from None
        return path

    def waiting(self) -> tuple[Path, ...]:
        """Return the files of the orders that wait, oldest first."""
        return tuple(sorted(self._folder.glob(f"*{SUFFIX}")))[:ORDERS_MAX]

    def read(self, path: Path) -> Order | None:
        """Return the order in a file; None, and a line in the log, if it holds none."""
        try:
            with path.open("rb") as file:
                return decode_order(file.read(ORDER_BYTES_MAX))
        except (OSError, DecodeError) as error:
            logger.warning("%s is dropped, it holds no order: %s", path, error)
            return None

    def drop(self, path: Path) -> None:
        """Remove an order that was carried out."""
        path.unlink(missing_ok=True)
