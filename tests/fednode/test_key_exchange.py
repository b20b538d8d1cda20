"""The node follows the ledger from membership epoch to epoch, with its keys on the disk (P90)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from fednode import key_exchange as module
from fednode.channel_store import ChannelStore
from fednode.clock import SystemClock
from fednode.key_exchange import KeyExchange, KeyExchangeParts, readers
from fednode.outbox import Outbox
from fednode.requester import Requester
from fednode.roster import Roster
from fednode.transport.memory import MemoryHub, MemoryTransport
from fednode.wire.counters import Counters
from fednode.wire.line import Line
from fednode.wire.messages import ChannelMessage, Encoded, SenderMessage
from fednode.wire.sender_keys import SenderKeys
from fednode.wire.topics import topics_of
from ledger.errors import DecodeError
from ledger.keys import verify
from ledger.membership import Standing
from ledger.state import State, initial_state
from tests.support.ledger import contract, keys
from tests.support.sender_keys import Nonces

CONTRACT = contract(3)
STATE = initial_state(CONTRACT)
KEYS = keys(3)
SAID_MAX = 100


class Heard(Outbox):
    """Keeps what it is given."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.said: list[tuple[int | None, Encoded]] = []

    @override
    def publish(self, message: Encoded) -> None:
        self.said.append((None, message))

    @override
    def send(self, member: int, message: Encoded) -> None:
        self.said.append((member, message))


class SetClock(SystemClock):
    """Monotonic time that stands still until it is set; the wall clock goes on."""

    def __init__(self) -> None:
        self.time_ms = 0

    @override
    def monotonic_ms(self) -> int:
        return self.time_ms


class Home:
    """A key exchange and the folder of its member."""

    def __init__(self, folder: Path, member: int) -> None:
        folder.mkdir(exist_ok=True)
        line = Line(
            own=member,
            transport=MemoryTransport(MemoryHub(), name="own"),
            topics=topics_of(STATE.chain_id),
            seal=lambda data: data,
        )
        self.outbox = Heard(line)
        self.roster = Roster(CONTRACT, STATE)
        self.member = member
        self.clock = SetClock()
        self.keys = SenderKeys(
            own_member=member,
            ask_period_ms=lambda: 1000,
            counters=Counters(),
            nonce_source=Nonces(member),
        )
        self.exchange = KeyExchange(
            KeyExchangeParts(
                keys=self.keys,
                store=ChannelStore(folder, KEYS[member]),
                roster=self.roster,
                outbox=self.outbox,
                signer=Requester(member, (KEYS[member],), self.roster),
                clock=self.clock,
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
            tasks.append(asyncio.get_running_loop().create_task(work, name=name))
            return tasks[-1]

        self.exchange.start(spawn)
        await asyncio.sleep(0)
        yield
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def hear(self, sender: int, message: Encoded) -> None:
        public, chain = KEYS[sender].public_key, STATE.chain_id
        match message:
            case ChannelMessage(channel=channel):
                self.exchange.on_statement(verify(channel, public, chain_id=chain))
            case SenderMessage(sender=box):
                self.exchange.on_statement(verify(box, public, chain_id=chain))
            case _:
                raise AssertionError(f"not about keys: {message}")


def carry(*homes: Home) -> None:
    """Deliver what was said until nobody says more."""
    for _ in range(SAID_MAX):
        said = [(home.member, each) for home in homes for each in home.outbox.said]
        for home in homes:
            home.outbox.said = []
        if not said:
            return
        for sender, (member, message) in said:
            for home in homes:
                if home.member != sender and member in (None, home.member):
                    home.hear(sender, message)
    raise AssertionError("they never stop talking")


async def test_nodes_have_each_others_keys_as_soon_as_they_heard_each_other(tmp_path: Path) -> None:
    homes = [Home(tmp_path / str(member), member) for member in range(3)]
    async with homes[0].running(), homes[1].running(), homes[2].running():
        carry(*homes)

    assert [home.keys.lacking() for home in homes] == [(), (), ()]


async def test_a_node_that_starts_again_says_the_same_channel(tmp_path: Path) -> None:
    said = []
    for _ in range(2):
        home = Home(tmp_path, 0)
        async with home.running():
            said += home.outbox.said

    assert said[0] == said[1]


async def test_a_folder_of_another_member_or_chain_gives_no_keys(tmp_path: Path) -> None:
    home = Home(tmp_path, 0)
    async with home.running():
        first = home.keys.own
    ChannelStore(tmp_path, KEYS[0]).save(replace(first, chain_id=bytes(32)))
    again = Home(tmp_path, 0)
    async with again.running():
        assert again.keys.own.chain_id == STATE.chain_id


def changed_at(height: int) -> State:
    membership = replace(STATE.membership, changed=height // 5 * 5)
    return replace(STATE, height=height, membership=membership)


async def test_a_block_that_changes_the_members_changes_all_keys_and_erases_the_old(
    tmp_path: Path,
) -> None:
    homes = [Home(tmp_path / str(member), member) for member in range(2)]
    async with homes[0].running(), homes[1].running():
        carry(*homes)
        kept = (tmp_path / "0" / "channel.key").read_bytes()
        old = homes[1].keys.seal_push(b"old")
        for height in (4, 5):
            for home in homes:
                home.roster.follow(changed_at(height))
                home.exchange.on_commit()
            unchanged = (tmp_path / "0" / "channel.key").read_bytes() == kept
            assert unchanged == (height == 4)
        carry(*homes)
        new = homes[1].keys.seal_push(b"new")

    opened = homes[0].keys.open(new)
    assert opened is not None
    assert opened.plaintext == b"new"
    assert homes[0].keys.own.membership_epoch == 5
    with pytest.raises(DecodeError, match="no key with id"):
        homes[0].keys.open(old)
    assert kept not in (tmp_path / "0" / "channel.key").read_bytes()


async def test_the_log_names_once_in_an_epoch_whose_keys_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule P93."""
    monkeypatch.setattr(module, "TICK_S", 0)
    homes = [Home(tmp_path / str(member), member) for member in range(2)]
    async with homes[0].running(), homes[1].running():
        carry(*homes)
        counts = []
        for time_ms in (module.NOTICE_MS - 1, module.NOTICE_MS, 2 * module.NOTICE_MS):
            homes[0].clock.time_ms = time_ms
            for _ in range(SAID_MAX):
                await asyncio.sleep(0)
            counts.append(caplog.text.count("no keys for bodies from members 2 since 30 s"))

    assert counts == [0, 1, 1]


def test_keys_are_for_members_and_those_who_are_to_join_but_not_for_banned_or_gone_ones() -> None:
    membership = STATE.membership
    pending, gone = (
        replace(membership.members[0], standing=each) for each in (Standing.PENDING, Standing.GONE)
    )
    larger = replace(membership, members=(*membership.members, pending, gone, pending))

    assert readers(STATE) == (0, 1, 2)
    assert readers(replace(STATE, membership=larger, banned=(1,))) == (0, 2, 3, 5)
