"""Bodies between nodes: what comes before its header is kept (rule P91)."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fednode.exchange import BodyExchange, ExchangeParts, Wanted
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.bodies import ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.packets import GRANULE_BYTES, cut, leaf_hashes
from fednode.wire.pull import PullLimits
from fednode.wire.topics import topics_of
from ledger.blobs import Blobs
from ledger.bodies import body_id
from tests.support.ledger import keys

OWN, ORIGIN = 0, 1
PUBLIC = [key.public_key for key in keys(2)]


class StoppedClock:
    def now_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0


def exchange(folder: Path) -> tuple[BodyExchange, Blobs]:
    blobs = Blobs(folder)
    line = Line(
        own=OWN,
        transport=MemoryTransport(MemoryHub(), name="own"),
        topics=topics_of(bytes(32)),
        public_keys=PUBLIC,
        seal=lambda data: data,
    )
    parts = ExchangeParts(
        line=line,
        blobs=blobs,
        sign=lambda request: pytest.fail(f"nothing is to be pulled: {request}"),
        clock=StoppedClock(),
        counters=Counters(),
        receiver_limits=ReceiverLimits(),
        pull_limits=PullLimits(),
    )
    return BodyExchange(parts), blobs


@asynccontextmanager
async def started(receiver: BodyExchange) -> AsyncIterator[None]:
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return tasks[-1]

    receiver.start(spawn)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("granules_of_body", [1, 100])
@pytest.mark.parametrize("granules_of_packet", [8, 64])
async def test_a_body_that_overtakes_its_header_needs_no_pull(
    granules_of_body: int, granules_of_packet: int, tmp_path: Path
) -> None:
    body = bytes(range(256)) * (granules_of_body * GRANULE_BYTES // 256)
    receiver, blobs = exchange(tmp_path)
    packets = cut(body, body_id(body), granules=granules_of_packet, leaves=leaf_hashes(body))

    for packet in packets:
        receiver.on_packet(packet, sender=None)
    wanted = Wanted(
        body_id=body_id(body),
        origin=ORIGIN,
        total_bytes=len(body),
        height=1,
        responders=(ORIGIN,),
        is_pushed=True,
    )
    async with started(receiver):
        await asyncio.wait_for(receiver.hold(wanted), timeout=5)

    assert blobs.get(body_id(body)) == body
