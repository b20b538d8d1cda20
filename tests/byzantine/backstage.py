"""A real node with an actor between it and the broker: the `Stage` of actors in a process."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial

from consensus import effects as fx
from consensus.messages import EntryProofMessage, EvidenceMessage, Message, StatementsMessage
from fednode.assembly import Storage
from fednode.founding.membership import Membership
from fednode.inbox import Arrival
from fednode.node import Node
from fednode.transport.base import Lane
from fednode.wire.envelope import Opened
from fednode.wire.messages import PullRequestMessage, decode_plaintext, is_inner_envelope
from fednode.wire.packets import PullRequest
from ledger.bodies import body_id
from ledger.genesis import Contract
from ledger.keys import Signed, StatementT, Verified, sign
from ledger.records import Block
from ledger.state import State
from tests.byzantine.actors.actor import Actor
from tests.byzantine.actors.triggers import Trigger
from tests.simulation.chance import make_random
from tests.simulation.packets import BodyPush, Packet

NOBODY = -1
"""The source of what names no sender."""


class NodeStage:
    """Hooks an actor into a node that is about to run.

    Args:
        node: From `build_node`.
        membership: Whose key signs.
        storage: Where its bodies are.
    """

    def __init__(self, node: Node, membership: Membership, storage: Storage) -> None:
        self.node = node
        self._membership = membership
        self._storage = storage
        self._parts = parts = node._parts
        self._publish = parts.outbox.publish
        self._send = parts.outbox.send
        members = len(self.contract.members)
        self.half = frozenset(range(members // 2))
        self.favourite = min(set(range(members)) - {self.number})
        self.accomplices: tuple[int, ...] = (self.number,)
        self.rng = make_random(f"stage/{self.number}")

    def enter(self, actor: Actor, trigger: Trigger) -> None:
        """Put the actor between node and network."""
        parts = self._parts

        def is_acting() -> bool:
            engine = self.node._engine
            return trigger.fires(engine.height, engine.view, seed=f"{self.number}")

        def publish(message: Message) -> None:
            (actor.publish if is_acting() else self._publish)(message)

        def send(member: int, message: Message) -> None:
            (partial(actor.send, member) if is_acting() else partial(self._send, member))(message)

        parts.outbox.publish = publish  # type: ignore[method-assign,assignment]
        parts.outbox.send = send  # type: ignore[method-assign,assignment]
        self._hook_bodies(actor, is_acting)
        self._hook_inbox(actor, is_acting)
        begin = parts.chores.begin

        def begin_ordered(asked: fx.Train | fx.BuildBlock | fx.CheckBlock, state: State) -> None:
            if isinstance(asked, fx.BuildBlock) and is_acting():
                asked = actor.ordered(asked)
            begin(asked, state)

        parts.chores.begin = begin_ordered  # type: ignore[method-assign,assignment]

    def _hook_bodies(self, actor: Actor, is_acting: Callable[[], bool]) -> None:
        sender = self._parts.sender
        push, answer = sender.push, sender.answer

        async def push_some(body: bytes, content: bytes | memoryview | None = None) -> bool:
            # One push is for all: it stays away if anybody is not to have the body.
            others = [each for each in range(self.members) if each != self.number]
            if is_acting() and not all(actor.gives_body(each, body) for each in others):
                return True
            return await push(body, content)

        def answer_some(request: Verified[PullRequest], spawn: object) -> None:
            if not is_acting() or actor.gives_body(request.signer, request.statement.body_id):
                answer(request, spawn)  # type: ignore[arg-type]

        sender.push = push_some  # type: ignore[method-assign]
        sender.answer = answer_some  # type: ignore[method-assign]

    def _hook_inbox(self, actor: Actor, is_acting: Callable[[], bool]) -> None:
        inbox = self._parts.inbox
        read, read_packet = inbox._read, inbox._read_packet

        def read_some(opened: Opened) -> Arrival | None:
            arrival = read(opened)
            if is_inner_envelope(opened.plaintext):
                return arrival
            message = decode_plaintext(opened.plaintext)
            source = signer_of(message)
            if source == self.number or self._reveals(message):
                # It goes on until the block that bans it.
                return None
            if not is_acting() or isinstance(message, PullRequestMessage):
                return arrival
            if not actor.hears(source, message):  # type: ignore[arg-type]
                return None
            actor.heard(source, message)  # type: ignore[arg-type]
            return arrival

        def read_some_packets(envelope: bytes) -> Arrival | None:
            arrived = read_packet(envelope)
            if arrived is None or not is_acting():
                return arrived
            body = BodyPush(body_id=arrived.packet.body_id)
            return arrived if actor.hears(NOBODY, body) else None

        inbox._read = read_some  # type: ignore[method-assign]
        inbox._read_packet = read_some_packets  # type: ignore[method-assign,assignment]

    def _reveals(self, message: object) -> bool:
        """Whether the honest node would learn what was signed behind its back."""
        if isinstance(message, EntryProofMessage):
            return any(vote.signer == self.number for vote in message.votes)
        return isinstance(message, EvidenceMessage | StatementsMessage)

    # --- what the actor can do --------------------------------------------------------------------

    @property
    def number(self) -> int:
        """The own member number."""
        return self._membership.member

    @property
    def members(self) -> int:
        """How many members there are."""
        return len(self.contract.members)

    @property
    def contract(self) -> Contract:
        """The terms in force."""
        return self._membership.genesis.contract

    @property
    def state(self) -> State:
        """State after the last block of the node."""
        return self.node._engine.state

    def now_ms(self) -> int:
        """The node's clock."""
        return self._parts.clock.now_ms()

    def raw_sign(self, statement: StatementT) -> Signed[StatementT]:
        """Sign without asking the signer."""
        chain = self.state.chain_id
        return sign(statement, self._membership.key, signer=self.number, chain_id=chain)

    def say(self, message: Message) -> None:
        """Publish to all members."""
        self._publish(message)

    def say_to(self, target: int, message: Message) -> None:
        """Send to one member."""
        if target != self.number:
            self._send(target, message)

    def pass_on(self, target: int, packet: Packet) -> None:
        """Send what somebody else said, as it is, in an envelope of its own."""
        self.say_to(target, packet)  # type: ignore[arg-type]

    def later(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Let `action(*arguments)` happen later."""
        asyncio.get_running_loop().call_later(delay_ms / 1000, partial(action, *arguments))

    def other_body(self, update_id: bytes) -> bytes:
        """Make a body with another salt, and return its id."""
        body = bytearray(self._storage.blobs.get(update_id))
        body[0] ^= 1
        other = body_id(bytes(body))
        self._storage.blobs.put(bytes(body))
        self.give_body(NOBODY, other)
        return other

    def give_body(self, target: int, body_id: bytes) -> None:
        """Push a body: there is no way to push to one member only."""
        del target
        _ = self.node._spawn(self._push(body_id), "push by an actor")

    async def _push(self, body: bytes) -> None:
        await self._parts.sender.push(body)

    def make(self, order: fx.BuildBlock, *, is_wrong: bool = False) -> Block:
        """Only the simulator builds blocks in an instant."""
        raise NotImplementedError(f"no actor of a process builds {order} (wrong: {is_wrong})")

    def cut(self, links: Collection[tuple[int, int]], ms_max: int) -> None:
        """No broker of a test is an accomplice."""

    def clone(self) -> Callable[[int, Packet], None]:
        """Two processes with one key need no actor."""
        raise NotImplementedError("start a second process on a copy of the member's folder")

    def shout(self, topic: str, payload: bytes, lane: Lane) -> None:
        """Publish bytes as they are."""
        work = self._parts.line.transport.publish(topic, payload, lane=lane)
        _ = self.node._spawn(work, "shout")


def signer_of(message: object) -> int:
    """The member that signed a message, `NOBODY` where none did alone."""
    signed = [
        getattr(message, name)
        for name in ("update", "have", "proposal", "vote", "status", "request")
        if hasattr(message, name)
    ]
    return signed[0].signer if signed else NOBODY
