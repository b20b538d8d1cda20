"""How messages reach the transport: lanes, retained status, bounds (rules P35, P91, P92)."""

import asyncio
import contextlib
import logging

import pytest
from typing_extensions import override

from consensus.messages import BlocksMessage, HaveMessage, Status, StatusMessage
from fednode.outbox import WAITING_MAX, Outbox
from fednode.transport.base import PAYLOAD_BYTES_FLOOR, Lane
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.line import Line
from fednode.wire.topics import topics_of
from ledger.keys import sign
from ledger.records import HaveList
from tests.support.ledger import keys, stub_chain

CHAIN = bytes(32)
TOPICS = topics_of(CHAIN)
KEYS = keys(3)
OWN, OTHER = 0, 1


def status() -> StatusMessage:
    statement = Status(height=4, block_id=bytes(32), sequence=1)
    return StatusMessage(status=sign(statement, KEYS[OWN], signer=OWN, chain_id=CHAIN))


def have(height: int = 5) -> HaveMessage:
    statement = HaveList(height=height, entries=())
    return HaveMessage(have=sign(statement, KEYS[OWN], signer=OWN, chain_id=CHAIN))


def blocks(number: int) -> BlocksMessage:
    chain = stub_chain(number)
    return BlocksMessage(blocks=tuple(chain.blocks), certificate=chain.certificates[-1])


class Recorded(MemoryTransport):
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(MemoryHub(payload_bytes_max=PAYLOAD_BYTES_FLOOR), name="own")
        self.published: list[tuple[str, Lane, bool]] = []

    @override
    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        self.published.append((topic, lane, retain))
        await super().publish(topic, payload, lane=lane, retain=retain)


def outbox(transport: MemoryTransport) -> Outbox:
    return Outbox(Line(own=OWN, topics=TOPICS, transport=transport, seal=lambda data: data))


async def hand_over(box: Outbox) -> None:
    running = asyncio.create_task(box.run())
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_only_status_is_retained_and_only_blocks_leave_the_lane_of_votes() -> None:
    async with Recorded() as transport:
        box = outbox(transport)

        box.publish(status())
        box.publish(have())
        box.send(OTHER, have())
        box.send(OTHER, blocks(1))
        await hand_over(box)

    assert transport.published == [
        (TOPICS.status(OWN), Lane.CONTROL, True),
        (TOPICS.control, Lane.CONTROL, False),
        (TOPICS.requests(OTHER), Lane.CONTROL, False),
        (TOPICS.answers(OTHER), Lane.BULK, False),
    ]


async def test_without_room_the_oldest_messages_are_dropped() -> None:
    async with Recorded() as transport:
        box = outbox(transport)

        box.publish(status())
        for height in range(WAITING_MAX):
            box.publish(have(height))
        await hand_over(box)

    assert len(transport.published) == WAITING_MAX
    assert not any(retain for _, _, retain in transport.published)


async def test_a_message_above_the_limit_of_the_broker_is_an_error_that_names_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Recorded() as transport:
        box = outbox(transport)
        large = blocks(8)
        assert box.fits(have())
        assert not box.fits(large)

        with caplog.at_level(logging.ERROR):
            box.send(OTHER, large)
            await hand_over(box)

    assert transport.published == []
    assert "a BlocksMessage of" in caplog.text
    assert f"above the broker's limit of {transport.payload_bytes_max}" in caplog.text


class Stuck(Recorded):
    """A transport whose bulk lane has no room."""

    @override
    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        if lane is Lane.BULK:
            await asyncio.Event().wait()
        await super().publish(topic, payload, lane=lane, retain=retain)


async def test_votes_do_not_wait_behind_blocks() -> None:
    async with Stuck() as transport:
        box = outbox(transport)

        box.send(OTHER, blocks(1))
        box.publish(have())
        await hand_over(box)

    assert transport.published == [(TOPICS.control, Lane.CONTROL, False)]


async def test_a_member_that_asks_again_and_again_gets_one_answer_with_blocks_at_a_time() -> None:
    async with Recorded() as transport:
        box = outbox(transport)

        for _ in range(3):
            box.send(OTHER, blocks(1))
        was_waiting = box.has_blocks_for(OTHER)
        await hand_over(box)

    assert was_waiting
    assert not box.has_blocks_for(OTHER)
    assert transport.published == [(TOPICS.answers(OTHER), Lane.BULK, False)]
