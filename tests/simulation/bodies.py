"""Bodies of updates and models, by their ids: what waits for them, and pulling what is missing."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from consensus.effects import UpdateHeld
from ledger.keys import Verified
from ledger.records import UpdateHeader
from tests.simulation.packets import BodyPull, BodyPush

if TYPE_CHECKING:
    from tests.simulation.node import Node

PULL_MS = 400


class Bodies:
    """What one incarnation of a node does to get the bodies that it needs."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._incarnation = node.incarnation
        self._wanted: dict[bytes, list[Callable[[], None]]] = {}
        self._headers: set[tuple[int, bytes]] = set()
        self._pulls = 0
        self._is_pulling = False

    def store(self, push: BodyPush) -> None:
        """Make a body durable and go on with what waited for it."""
        node = self._node
        if push.body_id in node.disk.bodies or not node.world.substance.keep(node, push):
            return
        for resume in self._wanted.pop(push.body_id, ()):
            if self._node.incarnation == self._incarnation:
                resume()

    def give(self, target: int, body_id: bytes) -> None:
        """Send a body to a member, if this node gives it."""
        node = self._node
        if node.gives_body(target, body_id):
            node.world.send(node.member, target, node.world.substance.push_of(node, body_id))

    def push_once(self, target: int, body_id: bytes) -> None:
        """Send an own body that nobody asked for, the first time."""
        pushed = self._node.disk.pushed
        if (target, body_id) not in pushed and body_id in self._node.disk.bodies:
            pushed.add((target, body_id))
            self.give(target, body_id)

    def require(self, body_ids: set[bytes], resume: Callable[[], None]) -> None:
        """Call `resume` when all bodies are here; pull what is missing."""
        missing = sorted(body_ids - self._node.disk.bodies)
        if not missing:
            resume()
            return
        again = partial(self.require, body_ids, resume)
        self._wanted.setdefault(missing[0], []).append(again)
        if not self._is_pulling:
            self._is_pulling = True
            self._node.later(PULL_MS, self._pull)

    def await_update(self, update: Verified[UpdateHeader]) -> None:
        """Tell the engine as soon as the body of a header is here, and is an update."""
        header = update.statement
        if (key := (header.height, header.update_id)) not in self._headers:
            self._headers.add(key)
            self.require({header.update_id}, lambda: self._hold(update))

    def _hold(self, update: Verified[UpdateHeader]) -> None:
        node = self._node
        if node.world.substance.is_update(node, update.statement):
            node.feed(UpdateHeld(update=update))

    def _pull(self) -> None:
        """Ask the next member for every body that is still missing."""
        if not self._wanted:
            self._is_pulling = False
            return
        node = self._node
        self._pulls += 1
        target = (node.member + self._pulls) % len(node.world.nodes)
        if target != node.member:
            for body_id in self._wanted:
                node.world.send(node.member, target, BodyPull(body_id=body_id))
        node.later(PULL_MS, self._pull)
