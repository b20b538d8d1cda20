"""A network of real processes: one per node, a broker, a bystander that records; and what they say.

For tests and benchmarks. Nothing here waits for time to pass: it waits for events of the nodes.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from fednode.config import BrokerSection
from fednode.testnet.children import Child, Command, start_child
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.founders import found_network
from fednode.testnet.plan import NetworkPlan
from ledger.genesis import Genesis

LOCAL_URL = "mqtt://127.0.0.1:{}"
# The launcher of children sets one thread for each; what comes after `execve` may say otherwise.
_WITH_ENVIRONMENT = (
    "import json, os, sys; os.environ.update(json.loads(sys.argv[1])); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
_ACTOR_PROCESS = str(Path(__file__).resolve().parents[1] / "byzantine" / "process.py")

Event: TypeAlias = Mapping[str, object]


@dataclass(slots=True)
class ProcessNetwork:
    """Node processes, a broker process, a recorder process, and all they say.

    Attributes:
        port: Where the embedded broker listens, if it is started.
        environments: Environment variables of some nodes, besides the usual ones.
        actors: What some nodes lie about (`tests/byzantine/process.py`).
        events: What the nodes said, in the order in which it was read.
    """

    folder: NetworkFolder
    genesis: Genesis
    port: int
    environments: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    actors: dict[int, str] = field(default_factory=dict)
    nodes: dict[int, Child] = field(default_factory=dict)
    broker: Child | None = None
    recorder: Child | None = None
    events: list[Event] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)
    _readers: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def start_broker(self) -> None:
        """Start the embedded broker at `port` and wait until it listens."""
        arguments = ("-m", "fednode.transport.broker", "--port", str(self.port))
        command = Command(
            arguments=(*arguments, "--stop-with-parent"),
            folder=self.folder.root,
            log=self.folder.broker_log,
        )
        self.broker = await start_child(command)
        async for _ in self.broker.lines():
            return
        raise AssertionError(f"no broker: {self.broker.last_words()}")

    async def start_recorder(self) -> None:
        """Start a bystander with the keys of member 0 and wait until it hears everything."""
        config = self.folder.config(self.name(0))
        arguments = ("-m", "fednode.testnet.record", "--config", str(config))
        command = Command(
            arguments=(*arguments, "--out", str(self.report_path)),
            folder=self.folder.root,
            log=self.folder.root / "recorder.log",
        )
        self.recorder = await start_child(command)
        async for _ in self.recorder.lines():
            return
        raise AssertionError(f"no recorder: {self.recorder.last_words()}")

    async def start_node(self, number: int) -> None:
        """Start one node and follow what it says."""
        name = self.name(number)
        program: tuple[str, ...] = ("-m", "fednode")
        if number in self.actors:
            program = (_ACTOR_PROCESS, self.actors[number])
        arguments = (*program, "run", "--config", str(self.folder.config(name)), "--events", "-")
        if number in self.environments:
            variables = json.dumps(dict(self.environments[number]))
            arguments = ("-c", _WITH_ENVIRONMENT, variables, *arguments)
        node = await start_child(
            Command(arguments=arguments, folder=self.folder.root, log=self.folder.log(name))
        )
        self.nodes[number] = node
        self._readers[number] = asyncio.create_task(self._read(number, node))

    async def kill_node(self, number: int) -> None:
        """Kill a node without warning and read what it still said."""
        node = self.nodes.pop(number)
        node.kill()
        await node.wait()
        await self._readers[number]

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """Return the next event, from now on, that is wanted."""
        seen = len(self.events)
        async with self._came:
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                await self._came.wait()

    async def until_all_finished(self) -> None:
        """Wait until every member has committed the last training round.

        Raises:
            AssertionError: If a node ended before.
        """
        await self.until_all_committed(self.genesis.contract.training_rounds)

    async def until_all_committed(self, training_round: int) -> None:
        """Wait until every member has committed this training round.

        Raises:
            AssertionError: If a node ended before.
        """

        await self.until_all(
            lambda event: (
                event["event"] == "committed" and event["training_round"] == training_round
            )
        )

    async def until_all(self, wanted: Callable[[Event], bool]) -> None:
        """Wait until every member has said, now or before, something that is wanted.

        Raises:
            AssertionError: If a node ended before.
        """

        def is_done() -> bool:
            self._check_alive()
            done = {event["member"] for event in self.events if wanted(event)}
            return len(done) == len(self.genesis.contract.members)

        async with self._came:
            await self._came.wait_for(is_done)

    def of_kind(self, kind: str) -> tuple[Event, ...]:
        """Return the events of one kind."""
        return tuple(event for event in self.events if event["event"] == kind)

    def name(self, number: int) -> str:
        """Return a member's name."""
        return self.genesis.contract.members[number].name

    @property
    def report_path(self) -> Path:
        """Where the recorder's report is written when it is stopped."""
        return self.folder.root / "recorder.json"

    async def stop(self) -> None:
        """Stop nodes, recorder and broker, in this order."""
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        for child in (self.recorder, self.broker):
            if child is not None:
                await child.stop()
        await asyncio.gather(*self._readers.values())

    def _check_alive(self) -> None:
        for number, node in self.nodes.items():
            ended = not node.is_running
            assert not ended, f"{self.name(number)} ended: {node.last_words()}"

    async def _read(self, number: int, node: Child) -> None:
        async for line in node.lines():
            event = json.loads(line)
            async with self._came:
                self.events.append({**event, "member": number})
                self._came.notify_all()
        await node.wait()
        async with self._came:
            self._came.notify_all()


def found_processes(
    root: Path,
    plan: NetworkPlan,
    *,
    url: str = "",
    environments: Mapping[int, Mapping[str, str]] | None = None,
) -> ProcessNetwork:
    """Found a network below `root`; nothing is started yet.

    Args:
        root: An empty folder; made if it is not there.
        plan: Members, data and terms.
        url: The broker; empty means an embedded one at a free port.
        environments: Environment variables of some nodes.
    """
    root.mkdir(exist_ok=True)
    folder = NetworkFolder(root=root)
    port = free_port()
    broker = BrokerSection(url=url or LOCAL_URL.format(port))
    genesis = found_network(folder, plan, broker)
    return ProcessNetwork(
        folder=folder, genesis=genesis, port=port, environments=environments or {}
    )


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
