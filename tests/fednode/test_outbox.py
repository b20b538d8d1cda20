"""How messages reach the transport: lanes, retained status, bounds (rules P35, P91, P92)."""

import asyncio
import contextlib
import logging

import pytest
from typing_extensions import override

from consensus.messages import HaveMessage, ProposalMessage, Status, StatusMessage
from fednode.outbox import WAITING_MAX, Outbox
from fednode.transport.base import PAYLOAD_BYTES_FLOOR, Lane
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.envelope import ENVELOPE_OVERHEAD_BYTES
from fednode.wire.line import Line
from fednode.wire.messages import encode_plaintext
from fednode.wire.topics import topics_of
from ledger.keys import sign
from ledger.records import FRESH, HaveList, Proposal, block_id
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


def proposal(view: int) -> ProposalMessage:
    block = stub_chain(1).blocks[0]
    statement = Proposal(height=1, view=view, valid_view=FRESH, block_id=block_id(block.header))
    signed = sign(statement, KEYS[OWN], signer=OWN, chain_id=CHAIN)
    return ProposalMessage(proposal=signed, block=block, certificate=())


class Recorded(MemoryTransport):
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(MemoryHub(payload_bytes_max=PAYLOAD_BYTES_FLOOR), name="own")
        self.published: list[tuple[str, Lane, bool]] = []
        self.payloads: list[bytes] = []

    @override
    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        self.published.append((topic, lane, retain))
        self.payloads.append(payload)
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
        box.send_encoded(OTHER, b"certificate")
        box.send_blocks(OTHER, b"blocks")
        box.send(OTHER, proposal(0))
        await hand_over(box)

    assert sorted(transport.published, key=lambda each: each[1] is Lane.BULK) == [
        (TOPICS.status(OWN), Lane.CONTROL, True),
        (TOPICS.control, Lane.CONTROL, False),
        (TOPICS.requests(OTHER), Lane.CONTROL, False),
        (TOPICS.requests(OTHER), Lane.CONTROL, False),
        (TOPICS.answers(OTHER), Lane.BULK, False),
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
        with caplog.at_level(logging.ERROR):
            box.send_blocks(OTHER, bytes(box.room_bytes + ENVELOPE_OVERHEAD_BYTES + 1))
            await hand_over(box)

    assert transport.published == []
    assert "an answer of" in caplog.text
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

        box.send_blocks(OTHER, b"blocks")
        box.send(OTHER, proposal(0))
        box.publish(have())
        await hand_over(box)

    assert transport.published == [(TOPICS.control, Lane.CONTROL, False)]


async def test_a_member_that_asks_again_and_again_gets_one_answer_with_blocks_at_a_time() -> None:
    async with Recorded() as transport:
        box = outbox(transport)

        for number in range(3):
            box.send_blocks(OTHER, bytes([number]))
        was_waiting = box.has_blocks_for(OTHER)
        await hand_over(box)

    assert was_waiting
    assert not box.has_blocks_for(OTHER)
    assert transport.published == [(TOPICS.answers(OTHER), Lane.BULK, False)]
    assert transport.payloads == [bytes([0])]


async def test_a_proposal_waits_for_no_decided_blocks_and_the_later_one_for_a_member_leaves() -> (
    None
):
    """Rules P33, P37: a height waits for it, and each member has one of each in memory."""
    first, later = proposal(0), proposal(1)
    async with Recorded() as transport:
        box = outbox(transport)

        box.send_blocks(OTHER, b"blocks")
        box.send(OTHER, first)
        box.send(OTHER, later)
        await hand_over(box)

    assert transport.payloads == [encode_plaintext(later), b"blocks"]
