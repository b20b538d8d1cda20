"""Outgoing messages: encoded and sealed in order, handed to the transport, never waited for."""

import asyncio
import logging
from collections import deque
from typing import Final

from consensus.messages import BlocksMessage, StatusMessage
from fednode.transport.base import Lane
from fednode.transport.errors import TransportError
from fednode.wire.envelope import ENVELOPE_OVERHEAD_BYTES
from fednode.wire.line import Line
from fednode.wire.messages import Encoded, encode_plaintext

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 4096
"""Messages that may wait; the oldest is dropped, rebroadcast sends it again (rule P35)."""


class Outbox:
    """Queues messages so that the engine's effects never wait for the network.

    Answers with blocks have a queue of their own, one at a time for each member (rule P37): votes
    never wait behind them (rule P91).

    Args:
        line: Reaches the other members.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: deque[tuple[str, Encoded]] = deque(maxlen=WAITING_MAX)
        self._came = asyncio.Event()
        self._blocks: dict[int, BlocksMessage] = {}
        self._blocks_came = asyncio.Event()

    def publish(self, message: Encoded) -> None:
        """Queue a message to all members."""
        is_status = isinstance(message, StatusMessage)
        topics = self._line.topics
        topic = topics.status(self._line.own) if is_status else topics.control
        self._queue(topic, message)

    def send(self, member: int, message: Encoded) -> None:
        """Queue a message to one member; blocks go by the bulk lane, if it waits for none yet."""
        if isinstance(message, BlocksMessage):
            self._blocks.setdefault(member, message)
            self._blocks_came.set()
        else:
            self._queue(self._line.topics.requests(member), message)

    def has_blocks_for(self, member: int) -> bool:
        """Return whether blocks for a member are still on their way."""
        return member in self._blocks

    def fits(self, message: Encoded) -> bool:
        """Return whether the broker carries a message of this size in one packet."""
        room = self._line.transport.payload_bytes_max - ENVELOPE_OVERHEAD_BYTES
        return len(encode_plaintext(message)) <= room

    async def run(self) -> None:
        """Hand queued messages to the transport until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._run_control(), name="control messages")
            lanes.create_task(self._run_blocks(), name="blocks")

    async def _run_control(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                topic, message = self._waiting.popleft()
                await self._hand_over(topic, message, Lane.CONTROL)

    async def _run_blocks(self) -> None:
        while True:
            await self._blocks_came.wait()
            self._blocks_came.clear()
            while self._blocks:
                member, message = next(iter(self._blocks.items()))
                topic = self._line.topics.answers(member)
                await self._hand_over(topic, message, Lane.BULK)
                del self._blocks[member]

    def _queue(self, topic: str, message: Encoded) -> None:
        self._waiting.append((topic, message))
        self._came.set()

    async def _hand_over(self, topic: str, message: Encoded, lane: Lane) -> None:
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
