"""Handing out bodies: boundedly, whatever is asked for and whatever the broker does (P37, P91)."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

from typing_extensions import override

from fednode.clock import SystemClock
from fednode.sending import REQUESTS_WAITING_MAX, BodySender
from fednode.transport.base import PAYLOAD_BYTES_FLOOR, PAYLOAD_BYTES_WISH, Lane
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.packets import PullRequest
from fednode.wire.topics import topics_of
from ledger.blobs import Blobs
from ledger.bodies import body_id
from ledger.keys import ED25519, sign, verify
from tests.support.ledger import keys
from tests.support.sender_keys import acquainted, own_keys, talk

BODY = bytes(range(256)) * 4096
OWN, OTHER = 0, 1
CHAIN = bytes(32)
KEYS = keys(2)


class Broker(MemoryTransport):
    """A transport that counts, and that can come back with a lower limit."""

    def __init__(self) -> None:
        super().__init__(MemoryHub(payload_bytes_max=PAYLOAD_BYTES_WISH), name="own")
        self.published = 0
        self.shrinks_after = 10**9

    @property
    @override
    def payload_bytes_max(self) -> int:
        is_small = self.published >= self.shrinks_after
        return PAYLOAD_BYTES_FLOOR if is_small else PAYLOAD_BYTES_WISH

    @override
    async def publish(
        self, topic: str, payload: bytes, *, lane: Lane, retain: bool = False
    ) -> None:
        await super().publish(topic, payload, lane=lane, retain=retain)
        self.published += 1


class CountedBlobs(Blobs):
    """Counts reads."""

    reads = 0

    @override
    def get(self, blob_id: bytes) -> bytes:
        self.reads += 1
        return super().get(blob_id)


class Sending:
    def __init__(self, folder: Path) -> None:
        self.blobs = CountedBlobs(folder)
        self.transport = Broker()
        self.counters = Counters()
        self.tasks: list[asyncio.Task[None]] = []
        line = Line(
            own=OWN,
            transport=self.transport,
            topics=topics_of(CHAIN),
            seal=lambda data: data,
        )
        self.keys = acquainted(2)
        self.sender = BodySender(
            line=line,
            blobs=self.blobs,
            keys=self.keys[OWN],
            clock=SystemClock(),
            counters=self.counters,
        )

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return self.tasks[-1]

    def ask(self, counter: int, body: bytes = BODY) -> None:
        request = PullRequest(
            height=1, responder=OWN, counter=counter, body_id=body_id(body), ranges=()
        )
        signed = sign(request, KEYS[OTHER], signer=OTHER, chain_id=CHAIN)
        self.sender.answer(
            verify(signed, KEYS[OTHER].public_key, chain_id=CHAIN, scheme=ED25519), self.spawn
        )

    async def finish(self) -> None:
        await asyncio.gather(*self.tasks)


async def test_a_member_that_floods_with_requests_is_read_for_one_at_a_time(
    tmp_path: Path,
) -> None:
    sending = Sending(tmp_path)
    sending.blobs.put(BODY)

    for counter in range(10 * REQUESTS_WAITING_MAX):
        sending.ask(counter)

    assert len(sending.tasks) == 1
    assert sending.counters.of("pulls_waiting") == 9 * REQUESTS_WAITING_MAX
    await sending.finish()
    assert sending.blobs.reads == REQUESTS_WAITING_MAX


async def test_nothing_is_read_for_a_repeated_request(tmp_path: Path) -> None:
    sending = Sending(tmp_path)
    sending.blobs.put(BODY)

    for _ in range(3):
        sending.ask(counter=7)
    await sending.finish()
    sending.ask(counter=7)
    await sending.finish()

    assert sending.blobs.reads == 1


async def test_unknown_empty_and_damaged_bodies_are_not_sent_and_stop_nobody(
    tmp_path: Path,
) -> None:
    sending = Sending(tmp_path)
    for content in (BODY, BODY[1:]):
        sending.blobs.put(content)
    sending.blobs.path(body_id(BODY)).write_bytes(bytes(len(BODY)))
    sending.blobs.path(body_id(BODY[1:])).write_bytes(b"")

    sending.ask(1, BODY)
    sending.ask(2, BODY[1:])
    sending.ask(3, BODY[2:])
    await sending.sender.push(body_id(BODY[3:]))
    await sending.finish()

    assert sending.transport.published == 0


async def test_an_own_body_that_is_in_memory_is_pushed_from_there(tmp_path: Path) -> None:
    sending = Sending(tmp_path)
    sending.blobs.put(BODY)
    async with sending.transport:
        pushed = [await sending.sender.push(body_id(BODY), content) for content in (BODY, None)]

    assert pushed == [True, True]
    assert sending.blobs.reads == 1
    assert sending.transport.published % 2 == 0
    assert sending.transport.published > 2


async def test_a_broker_that_comes_back_with_a_lower_limit_ends_a_push_and_not_the_node(
    tmp_path: Path,
) -> None:
    sending = Sending(tmp_path)
    sending.blobs.put(BODY)
    async with sending.transport:
        sending.transport.shrinks_after = 2

        await sending.sender.push(body_id(BODY))

    assert sending.transport.published == 2


async def test_nothing_is_read_for_a_member_that_could_not_open_it(tmp_path: Path) -> None:
    """Rule P90: whoever was not given the keys of this epoch asks for them first."""
    sending = Sending(tmp_path)
    sending.blobs.put(BODY)
    sending.keys[OWN].enter(own_keys(OWN, membership_epoch=6), [OWN, OTHER], now_ms=0)

    sending.ask(1)
    await sending.finish()
    assert (sending.blobs.reads, sending.counters.of("pull_without_keys")) == (0, 1)
    sending.keys[OTHER].enter(own_keys(OTHER, membership_epoch=6), [OWN, OTHER], now_ms=0)
    talk(sending.keys)
    sending.ask(2)
    await sending.finish()

    assert sending.blobs.reads == 1
