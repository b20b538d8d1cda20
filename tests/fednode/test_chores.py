"""The node's slow work: pushed once, shared only where equal, repaired from damage (P13, P53)."""

import asyncio
import struct
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

import fednode.chores as module
from consensus import effects as fx
from fednode.chores import Chores, Household
from fednode.clock import SystemClock
from fednode.exchange import BodyExchange, ExchangeParts
from fednode.journal import Journal
from fednode.keeping import BodyKeeper
from fednode.roster import Roster
from fednode.sending import BodySender
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.bodies import ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.packets import cut, leaf_hashes
from fednode.wire.pull import PullLimits
from fednode.wire.topics import topics_of
from ledger.blobs import Blobs
from ledger.bodies import body_id, encode_update_body
from ledger.errors import DecodeError, StorageError
from ledger.genesis import chain_id
from ledger.keys import ED25519, sign, verify
from ledger.membership import Standing
from ledger.records import VALUE_MAX, BlockKind, Results
from ledger.state import State, initial_state
from tests.support.ledger import contract, keys, stub_chain, update
from tests.support.network import HeightWatch
from tests.support.sender_keys import entered

CONTRACT = contract(4)
CHAIN = chain_id(CONTRACT)
KEYS = keys(4)
STATE = initial_state(CONTRACT)
OWN, OTHER, THIRD = 0, 1, 2


def standing_so(state: State, standing: Standing) -> State:
    """A state in which the own member stands otherwise."""
    members = state.membership.members
    own = replace(members[OWN], standing=standing)
    return replace(state, membership=replace(state.membership, members=(own, *members[1:])))


class House:
    """Chores with parts that carry nothing away."""

    def __init__(self, folder: Path) -> None:
        self.watch = HeightWatch()
        self.fed: list[fx.Input] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.blobs = Blobs(folder / "blobs")
        line = Line(
            own=OWN,
            transport=MemoryTransport(MemoryHub(), name="own"),
            topics=topics_of(CHAIN),
            seal=lambda data: data,
        )
        clock, counters = SystemClock(), Counters()
        parts = ExchangeParts(
            line=line,
            blobs=self.blobs,
            sign=lambda request: sign(request, KEYS[OWN], signer=OWN, chain_id=CHAIN),
            can_read=range(4).__contains__,
            clock=clock,
            first_counter=0,
            counters=counters,
            receiver_limits=ReceiverLimits,
            pull_limits=PullLimits(),
        )
        household = Household(
            member=OWN,
            roster=Roster(CONTRACT, STATE),
            blobs=self.blobs,
            exchange=BodyExchange(parts),
            sender=BodySender(
                line=line,
                blobs=self.blobs,
                keys=entered(OWN, range(4)),
                clock=clock,
                counters=counters,
            ),
            trainer=None,
            keeper=BodyKeeper(self.blobs, 0),
            journal=Journal(events=self.watch, contradictions=folder / "contradictions"),
        )
        self.chores = Chores(household)
        self.chores.start(self.fed.append, self.spawn, STATE)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return self.tasks[-1]

    def names(self) -> list[str]:
        return [task.get_name() for task in self.tasks]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_only_own_bodies_are_pushed_once_and_only_while_they_can_count(
    tmp_path: Path,
) -> None:
    """Headers of others are repeated by everybody who holds their bodies (rules P11, P35)."""
    house = House(tmp_path)
    own = update(CONTRACT, STATE, OWN, KEYS[OWN]).statement
    other = update(CONTRACT, STATE, OTHER, KEYS[OTHER]).statement

    house.chores.push_once(other)
    house.chores.push_once(replace(own, height=STATE.height))
    assert "push update" not in house.names()
    house.chores.push_once(own)
    house.chores.push_once(own)

    assert house.names().count("push update") == 1
    await house.close()


async def test_results_are_not_shared_by_trainers_that_name_the_same_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that copies another one's header must not change what a view is checked against."""
    house = House(tmp_path)
    computed: list[object] = []

    def compute(*arguments: object) -> object:
        computed.append(arguments[2])
        return arguments[2]

    monkeypatch.setattr(module, "compute_results", compute)
    first = update(CONTRACT, STATE, OTHER, KEYS[OTHER])
    copied = replace(first.statement, trainer=THIRD)
    copy = sign(copied, KEYS[THIRD], signer=THIRD, chain_id=CHAIN)

    for counted in ([(first, 1)], [(copy, 1)], [(first, 1)]):
        await house.chores._aggregate(STATE, counted)

    assert computed == [[(first, 1)], [(copy, 1)]]
    await house.close()


async def test_a_wrong_body_that_blocking_power_vouched_for_costs_a_view_and_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)

    async def refuse(*arguments: object, kind: BlockKind) -> Results:
        del arguments, kind
        raise DecodeError("expected values within bounds")

    monkeypatch.setattr(house.chores, "_compute", refuse)
    house.chores.begin(
        fx.BuildBlock(
            height=1,
            view=0,
            kind=BlockKind.AGGREGATE,
            time_ms=1,
            haves=(),
            updates=(),
            last_certificate=None,
        ),
        STATE,
    )
    await house.tasks[-1]

    assert house.fed == []
    text = "height=1 view=0: cannot build a block: expected values within bounds"
    assert ("error", {"text": text}) in house.watch.events
    await house.close()


async def test_a_check_outlasts_the_decision_of_its_block_and_ends_with_that_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules P13 and P28: a block is decided without bodies, and may be found invalid after it."""
    house = House(tmp_path)
    made = stub_chain(2)

    async def endless(*arguments: object, kind: BlockKind) -> Results:
        del arguments, kind
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(house.chores, "_compute", endless)
    house.chores.begin(fx.CheckBlock(block=made.blocks[0]), made.states[0])
    checking = house.tasks[-1]

    house.chores.on_commit(made.blocks[0], made.certificates[0], made.states[1])
    outlasts = not checking.cancelling()
    house.chores.on_commit(made.blocks[1], made.certificates[1], made.states[2])

    assert outlasts
    assert checking.cancelling()
    await house.close()


@pytest.mark.parametrize("standing", Standing)
async def test_who_is_gone_fetches_nothing_any_more_and_everybody_else_does(
    tmp_path: Path, standing: Standing
) -> None:
    """Rules P80, P81, P90: nobody gives it keys for bodies, so it would ask for ever."""
    house = House(tmp_path)
    made = stub_chain(2)
    state = standing_so(made.states[1], standing)
    ahead = replace(update(CONTRACT, STATE, OTHER, KEYS[OTHER]).statement, height=2)
    signed = sign(ahead, KEYS[OTHER], signer=OTHER, chain_id=CHAIN)
    house.chores.hold(verify(signed, KEYS[OTHER].public_key, chain_id=CHAIN, scheme=ED25519), STATE)
    house.chores.begin(fx.CheckBlock(block=made.blocks[0]), STATE)
    await asyncio.sleep(0)
    exchange = house.chores._home.exchange
    assert ahead.update_id in exchange._wanted

    house.chores.on_commit(made.blocks[0], made.certificates[0], state)
    house.chores.begin(fx.CheckBlock(block=made.blocks[1]), state)
    await asyncio.sleep(0)
    committed = set(exchange._wanted)
    house.chores.start(house.fed.append, house.spawn, state)
    await asyncio.sleep(0)

    is_gone = standing in (Standing.GONE, Standing.LAPSED)
    assert (committed == set()) is is_gone
    assert (made.states[1].model_id in exchange._wanted) is not is_gone
    assert all(task.done() or task.cancelling() for task in house.tasks) is is_gone
    await house.close()


async def test_a_body_damaged_on_the_disk_is_fetched_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    body = bytes(1000)
    wanted = house.chores._fetching.wanted_model(house.blobs.put(body), 1, ())
    house.blobs.path(wanted.body_id).write_bytes(bytes(999))
    reads = 0

    async def read() -> bytes:
        nonlocal reads
        reads += 1
        if reads == 2:
            return house.blobs.get(wanted.body_id)
        with pytest.raises(StorageError, match="was damaged"):
            house.blobs.get(wanted.body_id)
        asyncio.get_running_loop().call_soon(fetched)
        raise StorageError("it was damaged")

    def fetched() -> None:
        house.chores._home.exchange.note_stored(house.blobs.put(body))

    assert (
        await asyncio.wait_for(house.chores._fetching.with_bodies([wanted], read), timeout=5)
        == body
    )
    await house.close()


@pytest.mark.parametrize("value", [VALUE_MAX, VALUE_MAX + 1])
async def test_a_body_that_arrives_is_held_only_if_its_values_are_within_bounds(
    tmp_path: Path, value: int
) -> None:
    """Rule P10: it is checked from memory as it would be from the disk."""
    house = House(tmp_path)
    house.chores._home.exchange.start(house.spawn)
    values = struct.pack("<i", -value) * CONTRACT.model.n_elements
    body = encode_update_body(bytes(32), CONTRACT.model.tensors, values)
    header = replace(update(CONTRACT, STATE, OTHER, KEYS[OTHER]).statement, update_id=body_id(body))
    signed = sign(header, KEYS[OTHER], signer=OTHER, chain_id=CHAIN)
    verified = verify(signed, KEYS[OTHER].public_key, chain_id=CHAIN, scheme=ED25519)

    house.chores.hold(verified, STATE)
    holding = house.tasks[-1]
    await asyncio.sleep(0)
    for packet in cut(body, header.update_id, granules=64, leaves=leaf_hashes(body)):
        house.chores._home.exchange.on_packet(packet, sender=None)
    await asyncio.wait_for(holding, timeout=5)

    is_right = value == VALUE_MAX
    assert house.fed == ([fx.UpdateHeld(update=verified)] if is_right else [])
    kept = house.chores._kept_bodies.of((header.update_id,))
    assert kept == ({header.update_id: body} if is_right else {})
    assert house.blobs.has(header.update_id)
    await house.close()


async def test_a_disk_that_cannot_be_read_stops_the_node(tmp_path: Path) -> None:
    house = House(tmp_path)
    wanted = house.chores._fetching.wanted_model(house.blobs.put(bytes(1000)), 1, ())

    async def read() -> bytes:
        raise StorageError("input/output error")

    with pytest.raises(StorageError, match="input/output error"):
        await house.chores._fetching.with_bodies([wanted], read)
    await house.close()
