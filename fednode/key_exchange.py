"""The keys of bodies, for whoever may read them now: drawn, kept, told and forgotten (rule P90)."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from fednode.channel_store import ChannelStore
from fednode.clock import Clock
from fednode.outbox import Outbox
from fednode.requester import Requester
from fednode.roster import Roster
from fednode.spawning import Spawn
from fednode.wire.channels import Channel, OwnKeys, SenderBox
from fednode.wire.envelope import KEY_BYTES
from fednode.wire.messages import ChannelMessage, SenderMessage
from fednode.wire.sender_keys import Outgoing, SenderKeys
from ledger.keys import Verified
from ledger.membership import Standing
from ledger.state import State

logger = logging.getLogger(__name__)

TICK_S = 0.2
NOTICE_MS = 30_000
"""After the beginning of an epoch: then the log names the members whose keys still lack (P93)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExchangeParts:
    """What a key exchange works with.

    Attributes:
        keys: Who has whose keys.
        store: Where the own ones are durable.
        roster: Knows members and state.
        outbox: Sends statements.
        signer: Signs them; they are no slots.
        clock: Times of waits, and when keys were drawn.
        random: Returns that many secret random bytes.
    """

    keys: SenderKeys
    store: ChannelStore
    roster: Roster
    outbox: Outbox
    signer: Requester
    clock: Clock
    random: Callable[[int], bytes] = os.urandom


class KeyExchange:
    """Follows the ledger from membership epoch to membership epoch."""

    def __init__(self, parts: KeyExchangeParts) -> None:
        self._parts = parts
        self._notice_ms: int | None = None

    def start(self, spawn: Spawn) -> None:
        """Enter the epoch in force, with the keys from before a stop, and ask all for theirs.

        Raises:
            StorageError: If the disk is full or fails.
        """
        self._enter(self._parts.store.load())
        _ = spawn(self._run(), "keys of bodies")

    def on_statement(self, received: Verified[Channel] | Verified[SenderBox]) -> None:
        """Take what a member said about its keys, and answer it at once."""
        keys, now_ms = self._parts.keys, self._parts.clock.monotonic_ms()
        match received.statement:
            case Channel() as channel:
                keys.on_channel(received.signer, channel, now_ms=now_ms)
            case SenderBox() as box:
                keys.on_box(received.signer, box, now_ms=now_ms)
        self._send_due()

    def on_commit(self) -> None:
        """Change the keys if the block that the roster follows changed who may read.

        Raises:
            StorageError: If the disk is full or fails.
        """
        keys = self._parts.keys
        if self._parts.roster.state.membership_epoch != keys.own.membership_epoch:
            self._enter(None)
            self._send_due()

    async def _run(self) -> None:
        while True:
            self._send_due()
            self._give_notice()
            await asyncio.sleep(TICK_S)

    def _give_notice(self) -> None:
        """Say once in an epoch whose keys lack."""
        if self._notice_ms is None or self._parts.clock.monotonic_ms() < self._notice_ms:
            return
        self._notice_ms = None
        lacking = ", ".join(str(each) for each in self._parts.keys.lacking())
        if lacking:
            logger.warning(
                "membership_epoch=%d: no keys for bodies from members %s since %d s: what they"
                " send is taken from others that hold it; see whether their nodes run",
                self._parts.keys.own.membership_epoch,
                lacking,
                NOTICE_MS // 1000,
            )

    def _enter(self, kept: OwnKeys | None) -> None:
        parts, state = self._parts, self._parts.roster.state
        own = OwnKeys(
            chain_id=state.chain_id,
            member=parts.signer.member,
            membership_epoch=state.membership_epoch,
            made_ms=parts.clock.now_ms(),
            seed=parts.random(KEY_BYTES),
        )
        if kept is not None and _place(kept) == _place(own):
            own = kept
        else:
            # Durable before anybody hears of it: a second channel in one epoch costs time.
            parts.store.save(own)
        now_ms = parts.clock.monotonic_ms()
        parts.keys.enter(own, readers(state), now_ms=now_ms)
        self._notice_ms = now_ms + NOTICE_MS

    def _send_due(self) -> None:
        for each in self._parts.keys.due(self._parts.clock.monotonic_ms()):
            self._send(each)

    def _send(self, outgoing: Outgoing) -> None:
        sign, outbox = self._parts.signer.sign_request, self._parts.outbox
        message: ChannelMessage | SenderMessage
        match outgoing.statement:
            case Channel() as channel:
                message = ChannelMessage(channel=sign(channel))
            case SenderBox() as box:
                message = SenderMessage(sender=sign(box))
        if outgoing.member is None:
            outbox.publish(message)
        else:
            outbox.send(outgoing.member, message)


def readers(state: State) -> tuple[int, ...]:
    """Return the members to whom keys are given, ascending: also pending ones, no banned ones."""
    return tuple(
        number
        for number, each in enumerate(state.membership.members)
        if each.standing in (Standing.ACTIVE, Standing.PENDING) and number not in state.banned
    )


def _place(keys: OwnKeys) -> tuple[bytes, int, int]:
    return keys.chain_id, keys.member, keys.membership_epoch
