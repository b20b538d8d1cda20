"""Puts one member's node together from its parts; the only place where everything is wired."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from consensus.engine import Engine
from consensus.record import INITIAL_RECORD, SafetyRecord
from consensus.signer import Signer
from fednode.changes.errands import Errands
from fednode.changes.kept import load_operations
from fednode.channel_store import ChannelStore
from fednode.chores import Chores, Household
from fednode.clock import Clock
from fednode.events import EventSink
from fednode.exchange import BodyExchange, ExchangeParts
from fednode.founding.membership import Membership
from fednode.halted import Halted
from fednode.inbox import MessageInbox
from fednode.journal import Journal
from fednode.keeping import BodyKeeper
from fednode.key_exchange import KeyExchange, KeyExchangeParts
from fednode.node import Node, NodeParts
from fednode.outbox import Outbox
from fednode.own_evaluation import SiteProcess
from fednode.requester import Requester
from fednode.roster import Roster
from fednode.sending import BodySender
from fednode.transport.base import Transport
from fednode.wire.bodies import ReceiverLimits
from fednode.wire.counters import Counters
from fednode.wire.envelope import Keyring, seal
from fednode.wire.line import Line
from fednode.wire.pull import PullLimits
from fednode.wire.sender_keys import SenderKeys
from fednode.wire.topics import topics_of
from ledger.blobs import Blobs
from ledger.encoding import decode
from ledger.genesis import Genesis, chain_id
from ledger.keys import ED25519
from ledger.lock import FolderLock
from ledger.store import DATABASE_NAME, Ledger

BLOBS_NAME: Final = "blobs"
PULL_COUNTERS: Final = "pulls"
CONTRADICTIONS_NAME: Final = "contradictions.jsonl"


class Storage:
    """A member's folder while its node runs: locked, with ledger and blobs open.

    Args:
        folder: The folder; made on the first start.
        genesis: The genesis that the ledger must belong to.
        initial_model: The body of the contract's initial model, stored on the first start.

    Raises:
        StorageError: If another process has the folder, or it cannot be used.
    """

    def __init__(self, folder: Path, genesis: Genesis, initial_model: bytes) -> None:
        self._stack = ExitStack()
        self.folder = folder
        self._genesis = genesis
        self._initial_model = initial_model

    def __enter__(self) -> Self:
        """Lock the folder and open or make what is in it."""
        with ExitStack() as stack:
            stack.enter_context(FolderLock(self.folder))
            self.halted = Halted(self.folder)
            self.halted.check()
            self.blobs = Blobs(self.folder / BLOBS_NAME)
            self.blobs.put(self._initial_model)
            is_new = not (self.folder / DATABASE_NAME).exists()
            begin = Ledger.create if is_new else Ledger.open
            self.ledger = stack.enter_context(begin(self.folder, genesis=self._genesis))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close and unlock."""
        self._stack.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a node gets from the process that runs it.

    Attributes:
        transport: Carries its messages.
        trainer: Trains and judges on the member's rows; None for a member that only votes.
        clock: Its time.
        journal: Where it tells what happens.
        keep_heights: How many heights of bodies it keeps; 0 for all.
    """

    transport: Transport
    trainer: SiteProcess | None
    clock: Clock
    journal: Journal
    keep_heights: int


def build_node(membership: Membership, storage: Storage, around: Surroundings) -> Node:
    """Return a node at the state of its ledger, ready to `run`."""
    counters = Counters()
    roster = Roster(membership.genesis.contract, storage.ledger.state)
    requester = Requester(membership.member, membership.keys, roster)
    line = _line(membership, around.transport)
    keys = _sender_keys(membership, roster, counters)
    exchange = BodyExchange(
        ExchangeParts(
            line=line,
            blobs=storage.blobs,
            sign=requester.sign_request,
            can_read=keys.can_read,
            clock=around.clock,
            first_counter=storage.ledger.first_counter(PULL_COUNTERS, around.clock.now_ms()),
            counters=counters,
            receiver_limits=partial(_receiver_limits, roster),
            pull_limits=PullLimits(),
        )
    )
    blobs, clock = storage.blobs, around.clock
    sender = BodySender(line=line, blobs=blobs, keys=keys, clock=clock, counters=counters)
    key_parts = KeyExchangeParts(
        keys=keys,
        store=ChannelStore(storage.folder, membership.key),
        roster=roster,
        outbox=Outbox(line),
        signer=requester,
        clock=around.clock,
    )
    household = Household(
        member=membership.member,
        roster=roster,
        blobs=storage.blobs,
        exchange=exchange,
        sender=sender,
        trainer=around.trainer,
        keeper=_keeper(storage, around.keep_heights),
        journal=around.journal,
    )
    return Node(
        NodeParts(
            engine=_engine(membership, storage),
            ledger=storage.ledger,
            roster=roster,
            line=line,
            inbox=_inbox(membership, roster, keys, counters),
            outbox=key_parts.outbox,
            key_exchange=KeyExchange(key_parts),
            exchange=exchange,
            sender=sender,
            chores=Chores(household),
            errands=Errands(storage.folder, membership.key_file, requester),
            folder=storage.folder,
            clock=around.clock,
            journal=around.journal,
            halted=storage.halted,
        )
    )


def make_journal(folder: Path, events: EventSink) -> Journal:
    """Return the journal of a node whose folder is `folder`."""
    return Journal(events=events, contradictions=folder / CONTRADICTIONS_NAME)


def _line(membership: Membership, transport: Transport) -> Line:
    keyring = Keyring(membership.network_key)
    return Line(
        own=membership.member,
        transport=transport,
        topics=topics_of(chain_id(membership.genesis.contract)),
        seal=partial(seal, keyring=keyring, nonce_source=os.urandom),
    )


def _inbox(
    membership: Membership, roster: Roster, keys: SenderKeys, counters: Counters
) -> MessageInbox:
    keyring = Keyring(membership.network_key)
    return MessageInbox(roster=roster, keyring=keyring, sender_keys=keys, counters=counters)


def _sender_keys(membership: Membership, roster: Roster, counters: Counters) -> SenderKeys:
    return SenderKeys(
        own_member=membership.member,
        ask_period_ms=lambda: roster.contract.timeouts.rebroadcast_ms,
        counters=counters,
        nonce_source=os.urandom,
    )


def _receiver_limits(roster: Roster) -> ReceiverLimits:
    return ReceiverLimits(body_bytes=roster.contract.limits.body_bytes_max)


def _signer(membership: Membership, ledger: Ledger, chain: bytes) -> Signer:
    saved = ledger.load_record()
    record = INITIAL_RECORD if saved is None else decode(SafetyRecord, saved)
    return Signer(key=membership.key, member=membership.member, chain_id=chain, record=record)


def _engine(membership: Membership, storage: Storage) -> Engine:
    signer = _signer(membership, storage.ledger, chain_id(membership.genesis.contract))
    ledger, update = storage.ledger, signer.stored_update()
    own = () if update is None else (update.statement.update_id,)
    return Engine(
        contract=membership.genesis.contract,
        state=ledger.state,
        tip_certificate=ledger.certificate_at(ledger.head) if ledger.head else None,
        member=membership.member,
        signer=signer,
        scheme=ED25519,
        proposals=ledger.load_proposals(ledger.head + 1),
        evidence=ledger.load_evidence(),
        lost_updates=[each for each in own if not storage.blobs.has(each)],
        operations=load_operations(storage.folder),
    )


def _keeper(storage: Storage, keep_heights: int) -> BodyKeeper:
    keeper, head = BodyKeeper(storage.blobs, keep_heights), storage.ledger.head
    keeper.resume(storage.ledger.blocks(max(1, head - keep_heights), head), head)
    return keeper
