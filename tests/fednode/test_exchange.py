"""Bodies of others: early ones, wrong ones, those that never come (rules P37, P53, P91)."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

import fednode.exchange as exchange_module
from fednode.exchange import (
    EARLY_ENTRY_BYTES,
    BodyExchange,
    BodyForgottenError,
    ExchangeParts,
    Wanted,
)
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.bodies import ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.packets import GRANULE_BYTES, BodyPacket, PullRequest, cut, leaf_hashes
from fednode.wire.pull import PullLimits
from fednode.wire.topics import topics_of
from ledger.blobs import Blobs
from ledger.bodies import body_id
from ledger.errors import StorageError
from ledger.keys import Signed, sign
from tests.support.ledger import keys

OWN, ORIGIN, OTHER = 0, 1, 2
TURNS = 10
BODY = bytes(range(256)) * 600


class SetClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time_ms = 0

    def now_ms(self) -> int:
        return self.time_ms

    def monotonic_ms(self) -> int:
        return self.time_ms


def signed(request: PullRequest) -> Signed[PullRequest]:
    return sign(request, keys(1)[0], signer=OWN, chain_id=bytes(32))


def wanted(body: bytes, *, height: int = 1, origin: int = ORIGIN, is_pushed: bool = True) -> Wanted:
    return Wanted(
        body_id=body_id(body),
        origin=origin,
        total_bytes=len(body),
        height=height,
        responders=(ORIGIN,),
        is_pushed=is_pushed,
    )


def send(receiver: BodyExchange, body: bytes, sender: int | None = None) -> None:
    for packet in cut(body, body_id(body), granules=8, leaves=leaf_hashes(body)):
        receiver.on_packet(packet, sender=sender)


def exchange(
    folder: Path, blobs: Blobs | None = None, clock: SetClock | None = None
) -> tuple[BodyExchange, Blobs]:
    blobs = blobs or Blobs(folder)
    line = Line(
        own=OWN,
        transport=MemoryTransport(MemoryHub(), name="own"),
        topics=topics_of(bytes(32)),
        seal=lambda data: data,
    )
    parts = ExchangeParts(
        line=line,
        blobs=blobs,
        sign=signed,
        can_read=range(4).__contains__,
        clock=clock or SetClock(),
        first_counter=0,
        counters=Counters(),
        receiver_limits=ReceiverLimits,
        pull_limits=PullLimits(),
    )
    return BodyExchange(parts), blobs


@asynccontextmanager
async def started(receiver: BodyExchange) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return tasks[-1]

    receiver.start(spawn)
    try:
        yield tasks
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
    async with started(receiver):
        await asyncio.wait_for(receiver.hold(wanted(body)), timeout=5)

    assert blobs.get(body_id(body)) == body


@pytest.mark.parametrize("data", [b"", b"x"])
def test_early_packets_are_bounded_by_what_they_occupy(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule P37: neither tiny packets nor leaf hashes without data fill the memory."""
    monkeypatch.setattr(exchange_module, "EARLY_BYTES_MAX", 100 * EARLY_ENTRY_BYTES)
    receiver, _ = exchange(tmp_path)

    for number in range(200):
        stray = BodyPacket(
            body_id=number.to_bytes(32, "big"),
            total_bytes=1,
            first=0,
            data=data,
            leaves=b"" if data else bytes(32),
        )
        receiver.on_packet(stray, sender=None)

    assert 90 < len(receiver._early) <= 100


def test_packets_that_no_header_announced_for_a_whole_height_are_let_go(tmp_path: Path) -> None:
    """Rule P37: they came to overtake a header; what never had one would stay for ever."""
    receiver, _ = exchange(tmp_path)

    def stray(number: int) -> BodyPacket:
        body = number.to_bytes(32, "big")
        return BodyPacket(body_id=body, total_bytes=1, first=0, data=b"x")

    receiver.on_packet(stray(1), sender=None)
    receiver.forget_through(1, keep=())
    receiver.on_packet(stray(2), sender=None)
    assert len(receiver._early) == 2
    receiver.forget_through(2, keep=())

    assert [key[0] for key in receiver._early] == [stray(2).body_id]
    assert receiver._early_bytes == EARLY_ENTRY_BYTES + 1


async def test_who_waits_for_a_body_of_a_decided_height_is_told(tmp_path: Path) -> None:
    receiver, _ = exchange(tmp_path)
    async with started(receiver):
        holding = asyncio.create_task(receiver.hold(wanted(BODY, height=1)))
        await asyncio.sleep(0)

        receiver.forget_through(1, keep=())

        with pytest.raises(BodyForgottenError):
            await holding


async def test_a_body_announced_again_for_the_next_height_is_not_forgotten(tmp_path: Path) -> None:
    """An unused body counts again under a new header (rule P10)."""
    receiver, blobs = exchange(tmp_path)
    async with started(receiver):
        holding = []
        for height in (2, 1):
            holding.append(asyncio.create_task(receiver.hold(wanted(BODY, height=height))))
            await asyncio.sleep(0)

        receiver.forget_through(1, keep=())
        send(receiver, BODY)
        await asyncio.wait_for(asyncio.gather(*holding), timeout=5)

    assert blobs.has(body_id(BODY))


async def test_a_model_that_goes_on_being_current_is_not_forgotten(tmp_path: Path) -> None:
    receiver, _ = exchange(tmp_path)
    async with started(receiver):
        holding = asyncio.create_task(receiver.hold(wanted(BODY, height=1, origin=OWN)))
        await asyncio.sleep(0)

        receiver.forget_through(1, keep=[body_id(BODY)])
        send(receiver, BODY)

        await asyncio.wait_for(holding, timeout=5)


async def test_models_of_heights_passed_by_do_not_keep_out_the_current_one(tmp_path: Path) -> None:
    """Rule P80: a node that catches up wants many models, and needs the last one."""
    receiver, _ = exchange(tmp_path)
    async with started(receiver):
        passed = []
        for height in range(1, 10):
            model = height.to_bytes(1, "big") * 100
            passed.append(asyncio.create_task(receiver.hold(wanted(model, height=height))))
            await asyncio.sleep(0)
            receiver.forget_through(height, keep=())
        holding = asyncio.create_task(receiver.hold(wanted(BODY, height=10)))
        await asyncio.sleep(0)
        send(receiver, BODY)

        await asyncio.wait_for(holding, timeout=5)
        ends = await asyncio.gather(*passed, return_exceptions=True)

    assert all(isinstance(end, BodyForgottenError) for end in ends)


async def test_what_a_trainer_only_announced_does_not_keep_out_what_a_block_names(
    tmp_path: Path,
) -> None:
    """Theorem B of rule P12: every validator gets every included body."""
    receiver, _ = exchange(tmp_path)
    async with started(receiver):
        idle = [bytes([number]) * 100 for number in range(ReceiverLimits().bodies_per_origin)]
        waiting = [asyncio.create_task(receiver.hold(wanted(body))) for body in idle]
        await asyncio.sleep(0)

        named = asyncio.create_task(receiver.hold(wanted(BODY, is_pushed=False)))
        await asyncio.sleep(0)
        send(receiver, BODY)
        await asyncio.wait_for(named, timeout=5)

        receiver.forget_through(1, keep=())
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_header_that_names_a_model_as_its_body_does_not_keep_the_model_away(
    tmp_path: Path,
) -> None:
    receiver, blobs = exchange(tmp_path)
    claim = replace(wanted(BODY), total_bytes=len(BODY) + 32)
    async with started(receiver):
        lie = asyncio.create_task(receiver.hold(claim))
        await asyncio.sleep(0)
        model = asyncio.create_task(receiver.hold(wanted(BODY, origin=OWN, is_pushed=False)))
        await asyncio.sleep(0)
        again = asyncio.create_task(receiver.hold(claim))
        await asyncio.sleep(0)

        send(receiver, BODY)
        await asyncio.wait_for(asyncio.gather(lie, model, again), timeout=5)

    assert blobs.has(body_id(BODY))


async def test_a_body_that_this_node_made_itself_is_waited_for_no_longer(tmp_path: Path) -> None:
    receiver, blobs = exchange(tmp_path)
    async with started(receiver):
        holding = asyncio.create_task(receiver.hold(wanted(BODY)))
        await asyncio.sleep(0)
        receiver.note_stored(blobs.put(BODY))

        await asyncio.wait_for(holding, timeout=5)


@pytest.mark.parametrize("has_leaves", [True, False])
async def test_a_body_is_hashed_once_and_handed_on_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_leaves: bool
) -> None:
    """Leaves that were checked as they came prove the body; without them it is hashed whole."""
    receiver, blobs = exchange(tmp_path)
    want, leaves = wanted(BODY), leaf_hashes(BODY) if has_leaves else b""
    packets = list(cut(BODY, want.body_id, granules=8, leaves=leaves))
    hashed: list[bytes] = []

    def counted(body: memoryview) -> bytes:
        hashed.append(body_id(body))
        return hashed[-1]

    monkeypatch.setattr(exchange_module, "body_id", counted)
    monkeypatch.setattr("ledger.blobs.body_id", counted)
    async with started(receiver):
        holding = asyncio.create_task(receiver.hold(want))
        await asyncio.sleep(0)
        for packet in packets:
            receiver.on_packet(packet, sender=None)
        arrived = await asyncio.wait_for(holding, timeout=5)
        again = await asyncio.wait_for(receiver.hold(want), timeout=5)

    assert len(hashed) == (0 if has_leaves else 1)
    assert arrived is not None
    assert bytes(arrived) == BODY
    assert again is None
    monkeypatch.undo()
    assert blobs.get(want.body_id) == BODY


class FullDisk(Blobs):
    @override
    def put_as(self, blob_id: bytes, body: bytes | memoryview) -> bytes:
        raise StorageError("cannot write: No space left on device")


async def test_a_received_body_that_cannot_be_stored_stops_the_node(tmp_path: Path) -> None:
    receiver, _ = exchange(tmp_path, FullDisk(tmp_path))
    async with started(receiver) as tasks:
        holding = asyncio.create_task(receiver.hold(wanted(BODY)))
        await asyncio.sleep(0)
        send(receiver, BODY)
        (settling,) = (task for task in tasks if task.get_name() == "settle body")

        with pytest.raises(StorageError, match="No space left"):
            await settling
        holding.cancel()


async def test_a_full_body_with_wrong_bytes_is_taken_from_the_member_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "TICK_S", 0)
    clock = SetClock()
    receiver, blobs = exchange(tmp_path, clock=clock)
    wrong = bytes(len(BODY))
    async with started(receiver) as tasks:
        holding = asyncio.create_task(receiver.hold(wanted(BODY)))
        await asyncio.sleep(0)
        for packet in cut(wrong, body_id(BODY), granules=8):
            receiver.on_packet(packet, sender=None)
        await asyncio.gather(*(task for task in tasks if task.get_name() == "settle body"))
        assert not holding.done()
        clock.time_ms = 2 * PullLimits().push_grace_ms
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for packet in cut(wrong, body_id(BODY), granules=8):
            receiver.on_packet(packet, sender=None)
        send(receiver, BODY, sender=ORIGIN)
        await asyncio.wait_for(holding, timeout=5)

    assert blobs.get(body_id(BODY)) == BODY


async def test_after_a_lie_the_next_holder_is_asked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "TICK_S", 0)
    receiver, _ = exchange(tmp_path)
    want = replace(wanted(BODY, is_pushed=False), responders=(ORIGIN, OTHER))
    asked = []
    async with started(receiver):
        holding = asyncio.create_task(receiver.hold(want))
        for _ in range(2):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            asked.append(receiver._planner.asked(body_id(BODY)))
            wrong = cut(bytes(len(BODY)), body_id(BODY), granules=16, leaves=leaf_hashes(BODY))
            for packet in list(wrong)[:2]:
                receiver.on_packet(packet, sender=asked[-1])
        holding.cancel()

    assert asked == [ORIGIN, OTHER]
