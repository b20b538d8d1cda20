"""Outgoing messages: encoded and sealed in order, handed to the transport, never waited for."""

import asyncio
import logging
from collections import deque
from typing import Final

from consensus.messages import ProposalMessage, StatusMessage
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

    Answers with blocks leave by the lane of bodies, one at a time for each member (rules P37, P80):
    votes never wait behind them (rule P91). Proposals leave before decided blocks: their height
    waits. Of two proposals that wait for one member the later one leaves.

    Args:
        line: Reaches the other members.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: deque[tuple[str, Encoded | bytes]] = deque(maxlen=WAITING_MAX)
        self._came = asyncio.Event()
        self._proposals: dict[int, ProposalMessage] = {}
        self._blocks: dict[int, bytes] = {}
        self._answers_came = asyncio.Event()

    @property
    def room_bytes(self) -> int:
        """How long a plaintext may be that the broker carries in one packet."""
        return self._line.transport.payload_bytes_max - ENVELOPE_OVERHEAD_BYTES

    def publish(self, message: Encoded) -> None:
        """Queue a message to all members."""
        is_status = isinstance(message, StatusMessage)
        topics = self._line.topics
        topic = topics.status(self._line.own) if is_status else topics.control
        self._queue(topic, message)

    def send(self, member: int, message: Encoded) -> None:
        """Queue a message to one member."""
        if isinstance(message, ProposalMessage):
            self._proposals[member] = message
            self._answers_came.set()
        else:
            self._queue(self._line.topics.requests(member), message)

    def send_encoded(self, member: int, plaintext: bytes) -> None:
        """Queue a small message to one member that is encoded already."""
        self._queue(self._line.topics.requests(member), plaintext)

    def send_blocks(self, member: int, plaintext: bytes) -> None:
        """Queue decided blocks for one member, unless others still wait for it."""
        self._blocks.setdefault(member, plaintext)
        self._answers_came.set()

    def has_blocks_for(self, member: int) -> bool:
        """Return whether blocks for a member are still on their way."""
        return member in self._blocks

    async def run(self) -> None:
        """Hand queued messages to the transport until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._run_control(), name="control messages")
            lanes.create_task(self._run_answers(), name="answers with blocks")

    async def _run_control(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                topic, message = self._waiting.popleft()
                await self._hand_over(topic, message, Lane.CONTROL)

    async def _run_answers(self) -> None:
        topic_of = self._line.topics.answers
        while True:
            await self._answers_came.wait()
            self._answers_came.clear()
            while self._proposals or self._blocks:
                while self._proposals:
                    member = next(iter(self._proposals))
                    proposal = self._proposals.pop(member)
                    await self._hand_over(topic_of(member), proposal, Lane.BULK)
                for member in tuple(self._blocks)[:1]:
                    await self._hand_over(topic_of(member), self._blocks[member], Lane.BULK)
                    del self._blocks[member]

    def _queue(self, topic: str, message: Encoded | bytes) -> None:
        self._waiting.append((topic, message))
        self._came.set()

    async def _hand_over(self, topic: str, message: Encoded | bytes, lane: Lane) -> None:
        plaintext = message if isinstance(message, bytes) else encode_plaintext(message)
        payload = self._line.seal(plaintext)
        if len(payload) > self._line.transport.payload_bytes_max:
            logger.error(
                "%s of %d bytes is above the broker's limit of %d: raise that limit",
                "an answer" if message is plaintext else f"a {type(message).__name__}",
                len(payload),
                self._line.transport.payload_bytes_max,
            )
            return
        retain = isinstance(message, StatusMessage)
        try:
            await self._line.transport.publish(topic, payload, lane=lane, retain=retain)
        except TransportError as error:
            logger.info("not sent now, repeated later: %s", error)
