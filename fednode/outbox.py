"""Outgoing messages: encoded and sealed in order, handed to the transport, never waited for."""

import asyncio
import logging
from collections import deque
from typing import Final

from consensus.messages import BlocksMessage, Message, StatusMessage
from fednode.transport.base import Lane
from fednode.transport.errors import TransportError
from fednode.wire.envelope import ENVELOPE_OVERHEAD_BYTES
from fednode.wire.line import Line
from fednode.wire.messages import encode_plaintext

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 4096
"""Messages that may wait; the oldest is dropped, rebroadcast sends it again (rule P35)."""


class Outbox:
    """Queues messages so that the engine's effects never wait for the network.

    Args:
        line: Reaches the other members.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: deque[tuple[str, Message, Lane]] = deque(maxlen=WAITING_MAX)
        self._came = asyncio.Event()

    def publish(self, message: Message) -> None:
        """Queue a message to all members."""
        is_status = isinstance(message, StatusMessage)
        own_key = self._line.public_keys[self._line.own]
        topic = self._line.topics.status(own_key) if is_status else self._line.topics.control
        self._queue(topic, message, Lane.CONTROL)

    def send(self, member: int, message: Message) -> None:
        """Queue a message to one member; blocks go by the bulk lane."""
        key = self._line.public_keys[member]
        if isinstance(message, BlocksMessage):
            self._queue(self._line.topics.answers(key), message, Lane.BULK)
        else:
            self._queue(self._line.topics.requests(key), message, Lane.CONTROL)

    def fits(self, message: Message) -> bool:
        """Return whether the broker carries a message of this size in one packet."""
        room = self._line.transport.payload_bytes_max - ENVELOPE_OVERHEAD_BYTES
        return len(encode_plaintext(message)) <= room

    async def run(self) -> None:
        """Hand queued messages to the transport until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                await self._hand_over(*self._waiting.popleft())

    def _queue(self, topic: str, message: Message, lane: Lane) -> None:
        self._waiting.append((topic, message, lane))
        self._came.set()

    async def _hand_over(self, topic: str, message: Message, lane: Lane) -> None:
        payload = self._line.seal(encode_plaintext(message))
        if len(payload) > self._line.transport.payload_bytes_max:
            logger.error(
                "a %s of %d bytes is above the broker's limit of %d: raise that limit",
                type(message).__name__,
                len(payload),
                self._line.transport.payload_bytes_max,
            )
            return
        retain = isinstance(message, StatusMessage)
        try:
            await self._line.transport.publish(topic, payload, lane=lane, retain=retain)
        except TransportError as error:
            logger.info("not sent now, repeated later: %s", error)
