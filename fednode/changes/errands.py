"""Orders on their way into the engine: taken from the mailbox while the node runs (rule P81)."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from consensus import effects as fx
from consensus.change_inputs import KeyMade, OperationApproved, OperationOffered
from fednode.changes.mailbox import Mailbox, Offer
from fednode.changes.next_key import load_next_key
from fednode.errors import ConfigError
from fednode.requester import Requester

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.25
"""How long an order lies in the mailbox of a running node."""


class Errands:
    """Takes orders and new keys, as long as the node runs.

    Args:
        folder: The node's folder.
        key_file: The member's key; the next one lies beside it. None where keys are in memory only.
        requester: Signs requests; it is told of a new key, too.
    """

    def __init__(self, folder: Path, key_file: Path | None, requester: Requester) -> None:
        self._mailbox = Mailbox(folder)
        self._key_file = key_file
        self._requester = requester
        self._known_key = b""

    async def run(self, feed: Callable[[fx.Input], None]) -> None:
        """Carry orders to the engine until cancelled."""
        while True:
            self._take_key(feed)
            for path in self._mailbox.waiting():
                order = self._mailbox.read(path)
                match order:
                    case None:
                        pass
                    case Offer(operation=operation):
                        # A rotation's key is here before the operation can take effect.
                        self._take_key(feed)
                        feed(OperationOffered(operation=operation))
                    case _:
                        feed(OperationApproved(operation_id=order.operation_id))
                # What came of it is durable now, or was refused with a sentence.
                self._mailbox.drop(path)
            await asyncio.sleep(PAUSE_S)

    def _take_key(self, feed: Callable[[fx.Input], None]) -> None:
        if self._key_file is None:
            return
        try:
            key = load_next_key(self._key_file)
        except ConfigError as error:
            logger.warning("the next key is not used: %s", error)
            self._key_file = None
            return
        if key is not None and key.public_key != self._known_key:
            self._known_key = key.public_key
            self._requester.add_key(key.signing)
            feed(KeyMade(key=key.signing))
