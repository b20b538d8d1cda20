"""The simulated world: virtual time, the network, the nodes and the faults of one seed.

What happens is ordered by its time and then by when it was asked for, and one `Random` decides
whatever is left to chance, so equal settings give equal runs: `digest` hashes all events.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heappop, heappush
from pathlib import Path
from typing import TypeAlias

from consensus.effects import Effect, Input
from consensus.messages import Message
from consensus.verification import verify_message
from ledger.errors import LedgerError
from ledger.genesis import chain_id
from ledger.inclusion import opens
from ledger.keys import ED25519, SignatureScheme
from ledger.membership import contract_in_force
from ledger.state import State
from tests.simulation.byzantine import ByzantineNode
from tests.simulation.chance import make_random
from tests.simulation.checkers import Checkers
from tests.simulation.contracts import make_contract
from tests.simulation.disk import Disk, MemoryDisk, StoreDisk
from tests.simulation.faults import plan_faults
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.packets import Packet, ViolationError
from tests.simulation.scheme import MemoScheme, StubScheme
from tests.simulation.settings import Settings
from tests.simulation.sharing import shared_results
from tests.simulation.substance import make_substance

HEALED_MS = 60_000
"""Longest end of the height in work when the network heals: its waits may have grown to the cap."""
HEALED_MS_PER_HEIGHT = 15_000
"""Longest height after it: silent trainers, then a liar in each of the first views."""
LOG_MAX = 4096
"""Events and notes that are hashed together: one call for each would cost more than the hash."""
Event: TypeAlias = tuple[int, Callable[..., None], tuple[object, ...]]
"""The number of its asking, and what to call."""
EVENTS_MAX = 2_000_000
"""A run with more events than this is one that never ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run did."""

    digest: str
    virtual_ms: int
    healed_ms: int
    events: int
    counts: Counter[str]


class World:
    """All nodes of one seed and what happens between them."""

    def __init__(
        self,
        settings: Settings,
        *,
        node_class: type[Node] = Node,
        trace: Callable[[str], None] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.settings = settings
        self.rng = make_random(f"world/{settings.seed}")
        self.now = 0
        self.counts: Counter[str] = Counter()
        self.contract = make_contract(settings)
        self.chain_id = chain_id(self.contract)
        self.scheme: SignatureScheme = MemoScheme(ED25519) if settings.is_real else StubScheme()
        self.network = Network(settings, self.rng)
        self.trace = trace
        self.healed_at: int | None = None
        self.goal = 0
        self._short: set[int] = set()
        self._last: State | None = None
        self._opens = True
        self._folder = folder
        # What is due at each millisecond, in the order in which it was asked for, and a heap of
        # these milliseconds: most events need no place in a heap of their own.
        self._due: dict[int, list[Event]] = {}
        self._moments: list[int] = []
        self._sequence = 0
        self._events = 0
        self._has_moved = False
        self._hash = blake2b(digest_size=16)
        self._log: list[bytes] = []
        self._carried: dict[tuple[int, type], bytes] = {}
        self._verified: dict[tuple[int, int], tuple[Message, Input | None]] = {}
        strategies = dict(settings.byzantine)
        self.honest = tuple(each for each in range(settings.members) if each not in strategies)
        self.substance = make_substance(settings, self.counts)
        self.checkers = Checkers(self.contract, self.scheme, self.honest, self.substance)
        self.nodes: list[Node] = [
            ByzantineNode(self, member, self._make_disk(member), strategies[member])
            if member in strategies
            else node_class(self, member, self._make_disk(member))
            for member in range(settings.members)
        ]

    def at(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Let `action(*arguments)` happen `delay_ms` from now."""
        self._sequence += 1
        moment = self.now + delay_ms
        due = self._due.get(moment)
        if due is None:
            due = self._due[moment] = []
            heappush(self._moments, moment)
        due.append((self._sequence, action, arguments))

    def send(self, source: int, target: int, packet: Packet) -> None:
        """Put a packet on the link between two members."""
        receive = self.nodes[target].receive
        for delay in self.network.delays(source, target):
            self.at(delay, receive, source, packet)

    def verify(self, message: Message, state: State) -> Input | None:
        """Check a message as the host does; receivers with equal members share the answer."""
        key = id(message), state.membership_epoch
        known = self._verified.get(key)
        if known is None or known[0] is not message:
            known = (message, self._check(message, state))
            self._verified[key] = known
        return known[1]

    def _check(self, message: Message, state: State) -> Input | None:
        try:
            return verify_message(
                message,
                contract=contract_in_force(self.contract, state),
                state=state,
                scheme=self.scheme,
            )
        except LedgerError:
            self.counts["refused"] += 1
            return None

    def note(self, text: str) -> None:
        """Hash, and print when asked, something that happened."""
        self._log.append(text.encode())
        self.show(text)

    def note_effect(self, member: int, effect: Effect) -> None:
        """Hash, and print when asked, that a node carries out an effect."""
        key = member, type(effect)
        text = self._carried.get(key)
        if text is None:
            text = self._carried[key] = f"{member} {type(effect).__name__}".encode()
        self._log.append(text)
        if self.trace is not None:
            self.show(text.decode())

    def note_height(self, member: int, height: int) -> None:
        """Remember that a ledger grew: the run may be over."""
        self._has_moved = True
        if height >= self.goal:
            self._short.discard(member)

    def show(self, text: str) -> None:
        """Print something that happened, when a trace is wanted."""
        if self.trace is not None:
            self.trace(f"{self.now:8d} {text}")

    def run(self) -> Outcome:
        """Run to the end of the healed phase.

        Raises:
            ViolationError: If a checker found a broken promise, or a height did not end in time.
        """
        plan_faults(self)
        self.at(self.settings.faulty_ms, self.heal)
        self.start()
        bound = HEALED_MS + HEALED_MS_PER_HEIGHT * self.settings.heights
        self.run_until(self.is_done, within_ms=self.settings.faulty_ms + bound)
        return self.end()

    def start(self) -> None:
        """Bring the nodes up, but those that sleep until the network heals."""
        asleep = self.honest[: self.settings.sleepers]
        for node in self.nodes:
            if node.member not in asleep:
                node.start()

    def run_until(self, is_over: Callable[[], bool], *, within_ms: int) -> None:
        """Let things happen until `is_over`.

        Raises:
            ViolationError: If that takes longer than `within_ms` of virtual time.
        """
        limit = self.now + within_ms
        while not is_over():
            if not self._moments or self._moments[0] > limit or self._events > EVENTS_MAX:
                heights = [node.height for node in self.nodes]
                raise ViolationError(
                    f"liveness: not over at {self.now} ms after {self._events} events:"
                    f" healed at {self.healed_at}, goal {self.goal}, heights {heights}"
                )
            self._happen()

    def end(self) -> Outcome:
        """Check what is checked once, close the disks and sum up."""
        self.checkers.check_end(self.nodes)
        for node in self.nodes:
            node.disk.close()
        self._hash_log()
        healed_at = self.now if self.healed_at is None else self.healed_at
        self.counts.update(
            dropped=self.network.dropped,
            sent=self.network.sent,
            certificates=len(self.checkers.certificates),
            views=len(self.checkers.views),
            heights=len(self.checkers.decided),
            late_updates=self.checkers.late_updates,
            lock_refusals=self.checkers.lock_refusals,
            accused=len(self.checkers.accused),
            banned=len(self.checkers.banned),
            metrics=self.checkers.metrics,
            returns=self.checkers.state.returns,
            closings=self.checkers.closings,
        )
        self.counts.update(f"blocks_{kind.lower()}" for kind in self.checkers.kinds.values())
        return Outcome(
            digest=self._hash.hexdigest(),
            virtual_ms=self.now,
            healed_ms=self.now - healed_at,
            events=self._events,
            counts=self.counts,
        )

    def _happen(self) -> None:
        """Let happen what is due next, up to the end of its millisecond or to a ledger's growth."""
        self.now = now = self._moments[0]
        due, log = self._due[now], self._log
        self._has_moved = False
        done = 0
        # What is asked for without delay comes to the end of the same list.
        for sequence, action, arguments in due:
            done += 1
            log.append(b"%d %d;" % (now, sequence))
            action(*arguments)
            if self._has_moved:
                break
        self._events += done
        if done == len(due):
            heappop(self._moments)
            del self._due[now]
        else:
            del due[:done]
        if len(log) > LOG_MAX:
            self._hash_log()

    def _hash_log(self) -> None:
        self._hash.update(b"".join(self._log))
        self._log.clear()

    def heal(self) -> None:
        """End all faults but the liars; everybody must now decide `heights` more."""
        self.note("HEAL")
        self.healed_at = self.now
        self.network.heal()
        for node in self.nodes:
            node.mend()
        self.aim(max(node.height for node in self.nodes) + self.settings.heights)

    def aim(self, height: int) -> None:
        """Set the height that every honest node must reach."""
        self.goal = height
        self._short = {each for each in self.honest if self.nodes[each].height < height}

    def is_reached(self) -> bool:
        """Whether every honest node reached the goal."""
        return not self._short

    def is_done(self) -> bool:
        """Whether the network healed and every honest node reached the goal, or the chain's end."""
        return self.healed_at is not None and (not self._short or self._is_ended())

    def _is_ended(self) -> bool:
        """Whether the chain is finished and every honest node is there."""
        last = self.checkers.state
        if last is not self._last:
            self._last, self._opens = last, opens(contract_in_force(self.contract, last), last)
        return not self._opens and all(
            self.nodes[member].height == last.height for member in self.honest
        )

    def make_disk(self, name: str) -> Disk:
        """An empty disk, which has a folder of this name if it is a real one."""
        if self.settings.is_real and self._folder is not None:
            return StoreDisk(self.contract, self._folder / name, self.settings)
        return MemoryDisk(self.contract)

    def _make_disk(self, member: int) -> Disk:
        return self.make_disk(f"member-{member}")


def simulate(
    settings: Settings,
    *,
    node_class: type[Node] = Node,
    trace: Callable[[str], None] | None = None,
) -> Outcome:
    """Run one world; the real stores of real seeds live in a folder that goes afterwards."""
    if not settings.is_real:
        with shared_results():
            return World(settings, node_class=node_class, trace=trace).run()
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=memory_folder()) as folder:
        return World(settings, node_class=node_class, trace=trace, folder=Path(folder)).run()


def simulate_heights(settings: Settings, heights: int) -> Outcome:
    """Run a world without healing until everybody decided `heights`; keyed hashes sign."""
    with shared_results():
        world = World(settings)
        world.start()
        world.aim(heights)
        world.run_until(world.is_reached, within_ms=heights * HEALED_MS_PER_HEIGHT)
        return world.end()


def memory_folder() -> Path | None:
    """A folder in memory where there is one: the store's fsync is not what is tested here."""
    folder = Path("/dev/shm")  # noqa: S108  # only a parent of fresh folders
    return folder if folder.is_dir() else None
