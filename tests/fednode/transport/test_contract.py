"""What every transport promises, checked over memory, the embedded broker and mosquitto."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fednode.transport.base import Connected, Disconnected, Lane, Packet
from fednode.transport.memory import Link, MemoryHub, MemoryTransport
from tests.fednode.transport.harness import (
    ROOT,
    Harness,
    next_event,
    next_packet,
    next_packets,
)

CONTROL = f"{ROOT}/control"
BODIES = f"{ROOT}/bodies"
ALICE, BOB, CAROL = (bytes([number] * 32) for number in (1, 2, 3))


async def test_a_published_payload_reaches_every_subscriber_and_its_publisher(
    harness: Harness,
) -> None:
    async with harness.transport(ALICE) as alice, harness.transport(BOB) as bob:
        for each in (alice, bob):
            await each.subscribe([CONTROL], lane=Lane.CONTROL)

        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)

        expected = Packet(topic=CONTROL, payload=b"vote", retained=False, lane=Lane.CONTROL)
        assert await next_packet(alice.packets()) == expected
        assert await next_packet(bob.packets()) == expected


async def test_a_retained_payload_reaches_a_later_subscriber_and_says_so(harness: Harness) -> None:
    topic = f"{ROOT}/status/01020304"
    async with harness.transport(ALICE) as alice, harness.transport(BOB) as bob:
        await alice.subscribe([topic], lane=Lane.CONTROL)
        await alice.publish(topic, b"at height 7", lane=Lane.CONTROL, retain=True)
        live = await next_packet(alice.packets())

        await bob.subscribe([f"{ROOT}/status/+"], lane=Lane.CONTROL)

        stored = await next_packet(bob.packets())
        assert (live.payload, live.retained) == (b"at height 7", False)
        assert (stored.topic, stored.payload, stored.retained) == (topic, b"at height 7", True)


async def test_a_payload_of_exactly_the_limit_comes_through_unchanged(harness: Harness) -> None:
    async with harness.transport(ALICE) as alice, harness.transport(BOB) as bob:
        await bob.subscribe([BODIES], lane=Lane.BULK)
        payload = bytes(range(256)) * (alice.payload_bytes_max // 256)

        await alice.publish(BODIES, payload, lane=Lane.BULK)

        assert len(payload) == 256 * 1024
        assert (await next_packet(bob.packets())).payload == payload


async def test_a_payload_above_the_limit_is_refused_before_it_is_sent(harness: Harness) -> None:
    async with harness.transport(ALICE) as alice:
        payload = bytes(alice.payload_bytes_max + 1)

        with pytest.raises(ValueError, match=r"expected at most 262144 bytes, got 262145"):
            await alice.publish(BODIES, payload, lane=Lane.BULK)


async def test_payloads_of_one_lane_arrive_in_order(harness: Harness) -> None:
    sent = [number.to_bytes(4, "big") for number in range(200)]
    async with harness.transport(ALICE) as alice, harness.transport(BOB) as bob:
        await bob.subscribe([CONTROL], lane=Lane.CONTROL)

        for payload in sent:
            await alice.publish(CONTROL, payload, lane=Lane.CONTROL)

        assert [each.payload for each in await next_packets(bob.packets(), 200)] == sent


async def test_a_vote_overtakes_bodies_that_wait(harness: Harness) -> None:
    # Rule P91: votes never wait behind bodies.
    async with harness.transport(ALICE) as alice:
        await alice.subscribe([CONTROL], lane=Lane.CONTROL)
        await alice.subscribe([BODIES], lane=Lane.BULK)
        packets = alice.packets()
        pushing = asyncio.create_task(push_bodies(harness, number=100))
        await next_packet(packets)

        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)

        received = [await next_packet(packets)]
        while received[-1].payload != b"vote":
            received.append(await next_packet(packets))
        await pushing
        assert len(received) < 100
        assert [each.lane for each in received[:-1]] == [Lane.BULK] * (len(received) - 1)


async def push_bodies(harness: Harness, *, number: int) -> None:
    async with harness.transport(BOB) as bob, harness.transport(CAROL) as carol:
        await carol.subscribe([BODIES], lane=Lane.BULK)
        for _ in range(number):
            await bob.publish(BODIES, bytes(bob.payload_bytes_max), lane=Lane.BULK)
        await next_packets(carol.packets(), number)


async def test_a_restarted_broker_is_signalled_on_both_lanes_and_traffic_goes_on(
    harness: Harness,
) -> None:
    async with harness.transport(ALICE) as alice:
        await alice.subscribe([CONTROL], lane=Lane.CONTROL)
        await alice.subscribe([BODIES], lane=Lane.BULK)
        events = alice.events()
        first = [await next_event(events) for _ in Lane]

        harness.stop_broker()
        lost = [await next_event(events) for _ in Lane]
        await alice.publish(CONTROL, b"said into the void", lane=Lane.CONTROL)
        harness.start_broker()
        again = [await next_event(events) for _ in Lane]
        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)
        async with harness.transport(BOB) as bob:
            await bob.publish(BODIES, b"body", lane=Lane.BULK)

            payloads = {each.payload for each in await next_packets(alice.packets(), 2)}
        assert {(each.lane, type(each)) for each in lost} == {(lane, Disconnected) for lane in Lane}
        assert set(first) == {Connected(lane=lane, is_reconnect=False) for lane in Lane}
        assert set(again) == {Connected(lane=lane, is_reconnect=True) for lane in Lane}
        assert payloads == {b"vote", b"body"}


async def test_two_transports_of_one_member_do_not_push_each_other_out(harness: Harness) -> None:
    async with harness.transport(ALICE) as one, harness.transport(ALICE) as other:
        for each in (one, other):
            await each.subscribe([CONTROL], lane=Lane.CONTROL)

        await one.publish(CONTROL, b"from one", lane=Lane.CONTROL)
        await other.publish(CONTROL, b"from other", lane=Lane.CONTROL)

        for each in (one, other):
            payloads = {packet.payload for packet in await next_packets(each.packets(), 2)}
            assert payloads == {b"from one", b"from other"}


async def test_iterators_end_when_the_transport_is_left(harness: Harness) -> None:
    async with harness.transport(ALICE) as alice:
        reading = asyncio.create_task(count_packets(alice.packets()))

    async with asyncio.timeout(5):
        number = await reading
        events = [event async for event in alice.events()]

    assert number == 0
    assert [type(event) for event in events] == [Connected, Connected]


async def count_packets(packets: AsyncIterator[Packet]) -> int:
    number = 0
    async for _ in packets:
        number += 1
    return number


async def test_a_duplicated_payload_is_delivered_twice() -> None:
    def duplicate(link: Link) -> tuple[int, ...]:
        del link
        return (0, 0)

    hub = MemoryHub(hook=duplicate)
    async with MemoryTransport(hub, name="alice") as alice:
        await alice.subscribe([CONTROL], lane=Lane.CONTROL)

        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)

        payloads = [each.payload for each in await next_packets(alice.packets(), 2)]
        assert payloads == [b"vote", b"vote"]
