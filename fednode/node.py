"""The node: one loop that feeds the engine and carries out its effects, strictly in order.

```
packets -> MessageInbox -> engine.step(input) -> effects -> disk, outbox, timers, tasks
                                 ^                              |
                                 +------- BlockBuilt, UpdateHeld, TimerFired ...
```
Whatever touches the engine runs on the event loop without awaiting in between, so no lock is
needed; training, hashing and aggregation run elsewhere and come back as inputs.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from consensus import effects as fx
from consensus import messages as msg
from consensus.change_inputs import KeepOperations
from consensus.engine import Engine
from consensus.judging import Evaluate
from consensus.line_inputs import Reconnected
from fednode.block_answers import BlockAnswers
from fednode.changes.errands import Errands
from fednode.changes.kept import save_operations
from fednode.chores import Chores
from fednode.clock import Clock
from fednode.errors import NodeError
from fednode.exchange import BodyExchange
from fednode.halted import Halted
from fednode.inbox import ArrivedPacket, KeyNews, MessageInbox
from fednode.journal import Journal
from fednode.key_exchange import KeyExchange
from fednode.outbox import Outbox
from fednode.roster import Roster
from fednode.sending import BodySender
from fednode.timers import Timers
from fednode.transport.base import Connected, Lane
from fednode.transport.errors import TransportError
from fednode.wire.line import Line
from ledger.encoding import encode
from ledger.errors import StorageError
from ledger.keys import Verified
from ledger.store import Ledger

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeParts:
    """What a node is made of.

    Attributes:
        engine: The consensus engine, at the state of the ledger.
        ledger: Where blocks, record and proposals are durable.
        roster: Knows the contract in force.
        line: Reaches the other members; its transport is entered and left by `Node.run`.
        inbox: Opens and verifies what arrives.
        outbox: Sends messages.
        key_exchange: Sees to it that members, and they alone, can read bodies.
        exchange: Gets bodies.
        sender: Hands bodies out.
        errands: Brings orders of the own member.
        folder: Where pending operations are kept.
        chores: Trains, builds, checks, fetches: everything that takes time.
        clock: Wall-clock time for the engine.
        journal: Tells people and programs what happens.
        halted: Keeps why the node stopped for good.
    """

    engine: Engine
    ledger: Ledger
    roster: Roster
    line: Line
    inbox: MessageInbox
    outbox: Outbox
    key_exchange: KeyExchange
    exchange: BodyExchange
    sender: BodySender
    chores: Chores
    errands: Errands
    folder: Path
    clock: Clock
    journal: Journal
    halted: Halted


class Node:
    """Hosts the engine of one member."""

    def __init__(self, parts: NodeParts) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._answers = BlockAnswers(parts.ledger, parts.outbox, parts.journal)
        self._timers = Timers(self._on_timer)
        self._tasks: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Take part until `stop` is called or something makes going on unsafe.

        Raises:
            NodeError: With the reason, if the node had to stop itself.
            StorageError: If the disk failed.
            TransportError: If the broker refuses this node.
        """
        self._end = asyncio.get_running_loop().create_future()
        try:
            async with self._parts.line.transport:
                await self._subscribe()
                self._background(self._parts.outbox.run(), "outbox")
                self._parts.key_exchange.start(self._spawn)
                self._parts.exchange.start(self._spawn)
                self._background(self._read_events(), "connection events")
                self._background(self._read_packets(), "packets")
                self._parts.chores.start(self.feed, self._spawn, self._engine.state)
                self.feed(fx.Started())
                self._background(self._parts.errands.run(self.feed), "orders")
                await self._end
        finally:
            self._timers.cancel_all()
            await self._cancel_tasks()

    def stop(self) -> None:
        """Let `run` return."""
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    def feed(self, happened: fx.Input) -> None:
        """Tell the engine what happened and carry out what it wants, in order."""
        if self._end is None or self._end.done():
            return
        try:
            for effect in self._engine.step(happened, now_ms=self._parts.clock.now_ms()):
                self._carry_out(effect)
        except Exception as error:  # noqa: BLE001  # effects half done: whatever it was, stop here
            self._fail(error)

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case (
                fx.Persist()
                | fx.SaveProposal()
                | fx.SaveEvidence()
                | KeepOperations()
                | fx.CommitBlock()
            ):
                self._store(effect)
            case fx.Publish() | fx.Send() | fx.AnswerBlocks() | fx.AnswerCertificate():
                self._tell(effect)
            case fx.SetTimer(timer=timer, delay_ms=delay_ms):
                self._timers.set(timer, delay_ms)
            case fx.Train() | Evaluate() | fx.BuildBlock() | fx.CheckBlock():
                self._parts.chores.begin(effect, self._engine.state)
            case fx.ReportContradiction() | fx.Notice() | fx.Progress():
                self._parts.journal.note(effect)
            case fx.Halt(reason=reason, is_lasting=is_lasting):
                raise NodeError(self._parts.halted.keep(reason) if is_lasting else reason)
            case _:
                assert_never(effect)

    def _store(self, effect: fx.Stored) -> None:
        match effect:
            case fx.Persist(record=record):
                self._parts.ledger.save_record(encode(record))
            case fx.SaveProposal(proposal=proposal, block=block):
                self._parts.ledger.save_proposal(proposal, block)
            case fx.SaveEvidence(member=member, evidence=evidence):
                self._parts.ledger.save_evidence(member, evidence)
            case KeepOperations(operations=operations):
                save_operations(self._parts.folder, operations)
            case fx.CommitBlock(block=block, certificate=certificate, state=state):
                self._parts.ledger.append(block, certificate, state)
                self._parts.roster.follow(state)
                self._parts.key_exchange.on_commit()
                self._timers.cancel_through(block.header.height)
                self._parts.chores.on_commit(block, certificate, state)
                self._parts.journal.committed(block, certificate, state)

    def _tell(self, effect: fx.Publish | fx.Send | fx.AnswerBlocks | fx.AnswerCertificate) -> None:
        match effect:
            case fx.Publish(message=message):
                self._publish(message)
            case fx.Send(member=member, message=message):
                self._parts.outbox.send(member, message)
            case fx.AnswerBlocks(member=member, from_height=height):
                self._answers.send_blocks(member, height)
            case fx.AnswerCertificate(member=member, height=height):
                self._answers.send_certificate(member, height)

    def _publish(self, message: msg.Message) -> None:
        self._parts.outbox.publish(message)
        self._parts.journal.published(message)
        if isinstance(message, msg.UpdateMessage):
            self._parts.chores.push_once(message.update.statement)

    def _on_timer(self, timer: fx.Timer) -> None:
        self.feed(fx.TimerFired(timer=timer))

    async def _subscribe(self) -> None:
        line = self._parts.line
        control = (line.topics.control, line.topics.every_status, line.topics.requests(line.own))
        await line.transport.subscribe(control, lane=Lane.CONTROL)
        bulk = (line.topics.bodies, line.topics.answers(line.own))
        await line.transport.subscribe(bulk, lane=Lane.BULK)

    async def _read_packets(self) -> None:
        async for packet in self._parts.line.transport.packets():
            arrival = self._parts.inbox.open(packet.payload)
            match arrival:
                case None:
                    continue
                case ArrivedPacket(packet=part, sender=sender):
                    self._parts.exchange.on_packet(part, sender=sender)
                case KeyNews(statement=statement):
                    self._parts.key_exchange.on_statement(statement)
                case Verified() as request:
                    self._parts.sender.answer(request, self._spawn)
                case _:
                    self._arrived(arrival)
            # Bulk data must not keep timers from firing.
            await asyncio.sleep(0)

    def _arrived(self, arrival: fx.Input) -> None:
        self._parts.journal.arrived(arrival)
        self.feed(arrival)
        if isinstance(arrival, fx.UpdateReceived):
            self._parts.chores.hold(arrival.update, self._engine.state)

    async def _read_events(self) -> None:
        async for event in self._parts.line.transport.events():
            self._parts.journal.connection(event)
            if isinstance(event, Connected) and event.is_reconnect and event.lane is Lane.CONTROL:
                self.feed(Reconnected())

    def _background(self, work: Coroutine[object, object, None], name: str) -> None:
        _ = self._spawn(work, name)

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        known = isinstance(error, NodeError | StorageError | TransportError)
        if self._end is not None and not self._end.done():
            self._end.set_exception(error if known else NodeError(f"internal error: {error!r}"))
            if not known:
                logger.error("internal error", exc_info=error)

    async def _cancel_tasks(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
