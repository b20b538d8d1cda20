"""The in-memory hub: loss, delay and duplicates on demand, in a fixed order."""

import pytest

from fednode.transport.base import Lane
from fednode.transport.errors import TransportError
from fednode.transport.inbox import Inbox, InboxLimits
from fednode.transport.lane import LaneOptions, MqttLane
from fednode.transport.memory import Link, MemoryHub, MemoryTransport
from fednode.transport.settings import BrokerSettings
from tests.fednode.transport.harness import ROOT, next_packets

CONTROL = f"{ROOT}/control"
BODIES = f"{ROOT}/bodies"


async def test_a_link_that_drops_affects_no_other_link() -> None:
    def cut_off_bob(link: Link) -> tuple[int, ...]:
        return () if link.receiver == "bob" else (0,)

    hub = MemoryHub(hook=cut_off_bob)
    async with MemoryTransport(hub, name="alice") as alice, MemoryTransport(hub, name="bob") as bob:
        for each in (alice, bob):
            await each.subscribe([CONTROL], lane=Lane.CONTROL)

        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)

        assert len(await next_packets(alice.packets(), 1)) == 1
    assert [packet async for packet in bob.packets()] == []


async def test_a_delayed_payload_arrives_after_that_many_later_ones() -> None:
    def delay_first(link: Link) -> tuple[int, ...]:
        return (2,) if link.packet.payload == b"0" else (0,)

    hub = MemoryHub(hook=delay_first)
    async with MemoryTransport(hub, name="alice") as alice:
        await alice.subscribe([CONTROL], lane=Lane.CONTROL)

        for payload in (b"0", b"1", b"2", b"3"):
            await alice.publish(CONTROL, payload, lane=Lane.CONTROL)

        received = [each.payload for each in await next_packets(alice.packets(), 4)]
        assert received == [b"1", b"2", b"0", b"3"]


async def test_flush_delivers_what_is_still_delayed() -> None:
    hub = MemoryHub(hook=lambda _: (100,))
    async with MemoryTransport(hub, name="alice") as alice:
        await alice.subscribe([CONTROL], lane=Lane.CONTROL)
        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)

        hub.flush()

        assert (await next_packets(alice.packets(), 1))[0].payload == b"vote"


async def test_a_full_inbox_drops_and_counts_on_its_own_lane_only() -> None:
    small = InboxLimits(packets=10, bytes_max=5)
    inbox = Inbox(bulk=small)
    async with MemoryTransport(MemoryHub(), name="alice", inbox=inbox) as alice:
        await alice.subscribe([CONTROL], lane=Lane.CONTROL)
        await alice.subscribe([BODIES], lane=Lane.BULK)

        for _ in range(3):
            await alice.publish(BODIES, b"xyz", lane=Lane.BULK)
        await alice.publish(CONTROL, b"long vote", lane=Lane.CONTROL)

        received = [each.payload for each in await next_packets(alice.packets(), 2)]
        assert received == [b"long vote", b"xyz"]
        assert (inbox.dropped(Lane.CONTROL), inbox.dropped(Lane.BULK)) == (0, 2)


async def test_a_stopped_hub_refuses_bodies_and_drops_votes() -> None:
    hub = MemoryHub()
    async with MemoryTransport(hub, name="alice") as alice:
        hub.stop()

        await alice.publish(CONTROL, b"vote", lane=Lane.CONTROL)
        with pytest.raises(TransportError, match="expected a running hub, got a stopped one"):
            await alice.publish(BODIES, b"body", lane=Lane.BULK)

        assert alice.dropped_outgoing == 1


async def test_an_empty_retained_payload_deletes_the_stored_one() -> None:
    hub = MemoryHub()
    async with MemoryTransport(hub, name="alice") as alice:
        await alice.publish(CONTROL, b"status", lane=Lane.CONTROL, retain=True)
        await alice.publish(CONTROL, b"", lane=Lane.CONTROL, retain=True)

        await alice.subscribe([CONTROL], lane=Lane.CONTROL)

    assert [packet async for packet in alice.packets()] == []


@pytest.mark.parametrize("topic", ["", "fednode/+", "fednode/#", "x" * 129])
async def test_a_topic_that_no_broker_would_route_is_refused(topic: str) -> None:
    async with MemoryTransport(MemoryHub(), name="alice") as alice:
        with pytest.raises(ValueError, match="expected a topic of 1 to 128 bytes"):
            await alice.publish(topic, b"vote", lane=Lane.CONTROL)


async def test_a_failed_lane_ends_the_stream_of_events_with_its_reason() -> None:
    """Rule P93: nobody would restart it."""
    inbox = Inbox()

    inbox.fail(TransportError("lane=bulk: internal error"))

    with pytest.raises(TransportError, match="lane=bulk: internal error"):
        await anext(inbox.events())


async def test_a_lane_that_ends_by_what_nobody_foresaw_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = Inbox()
    lane = MqttLane(
        BrokerSettings(url="mqtt://127.0.0.1:1"),
        LaneOptions(lane=Lane.CONTROL, client_id="any", probe_root=None),
        inbox=inbox,
        token=bytes,
    )

    async def fail(_: MqttLane) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MqttLane, "_run", fail)

    with pytest.raises(TransportError, match="lane=control: internal error: ZeroDivisionError"):
        await lane.start()
    with pytest.raises(TransportError, match="lane=control: internal error: ZeroDivisionError"):
        await anext(inbox.events())
    await lane.close()
