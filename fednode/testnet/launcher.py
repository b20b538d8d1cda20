"""Run a local network: a broker and one operating-system process per member, until all is done.

Whatever happens here, no process is left: children are stopped in order, nodes before the broker,
and if this process itself is killed the kernel ends them (`fednode.testnet.lifeline`).
"""

import asyncio
import contextlib
import json
import signal
from dataclasses import dataclass, field
from typing import Final

import psutil

from fednode.clock import Clock
from fednode.config import BrokerSection
from fednode.errors import NodeError
from fednode.testnet.children import Child, Command, start_child
from fednode.testnet.display import Display
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.founders import point_to_broker
from fednode.testnet.plan import Kill
from fednode.testnet.scoring import Scorer
from fednode.testnet.view import Event, NetworkView
from fednode.transport.broker_process import READY_TIMEOUT_MS
from ledger.genesis import Contract
from ledger.powers import is_quorum

STALL_S: Final = 180.0
"""Longest wait for the next event of any node; beyond it the network will not go on by itself."""
BROKER_URL: Final = "mqtt://127.0.0.1:{}"
SCORE_AGAIN_S: Final = 0.3


class StalledError(NodeError):
    """The network cannot finish: too few nodes run, or nothing happens any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A network that is to run.

    Attributes:
        broker: How its members reach the broker; None starts the embedded one.
        kills: Nodes to kill and start again.
        scorer: Judges the models; None if no rows were held out.
    """

    folder: NetworkFolder
    contract: Contract
    broker: BrokerSection | None
    kills: tuple[Kill, ...]
    scorer: Scorer | None
    display: Display
    clock: Clock


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """What a run was, for the report.

    Attributes:
        broker_process: Process id of the embedded broker; None with a broker elsewhere.
        node_processes: Process ids of each member's node, a new one after each restart.
        trainer_processes: Process ids of each node's training process at the end.
        seconds: How long the named parts took.
        is_interrupted: Whether somebody asked to stop.
    """

    broker_url: str = ""
    broker_process: int | None = None
    node_processes: dict[int, list[int]] = field(default_factory=dict)
    trainer_processes: dict[int, list[int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    is_interrupted: bool = False


class Launcher:
    """Runs one network once.

    Args:
        launch: The network.
        view: What is known of it; updated while it runs.
    """

    def __init__(self, launch: Launch, view: NetworkView) -> None:
        self._launch = launch
        self._view = view
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._nodes: dict[int, Child] = {}
        self._broker: Child | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._kills = list(launch.kills)
        self._unscored: list[int] = []
        self.record = RunRecord()

    async def run(self) -> None:
        """Start everything, follow it until all nodes are done or somebody interrupts, stop it.

        Raises:
            StalledError: If the network cannot finish.
            NodeError: If the embedded broker does not start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        began = self._now_s()
        try:
            await self._start()
            self.record.seconds["start"] = self._now_s() - began
            await self._follow()
            self.record.seconds["training"] = self._now_s() - began
            self._note_trainers()
        finally:
            await self._stop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _start(self) -> None:
        broker = self._launch.broker
        if broker is None:
            broker = BrokerSection(url=await self._start_broker())
        self.record.broker_url = broker.url
        point_to_broker(self._launch.folder, self._launch.contract, broker)
        self._happened({"event": "broker", "url": broker.url, **self._broker_fields()})
        for number in range(len(self._launch.contract.members)):
            if self.record.is_interrupted:
                return
            await self._start_node(number)

    async def _start_broker(self) -> str:
        folder = self._launch.folder
        module = ("-m", "fednode.transport.broker", "--stop-with-parent", "--port", "0")
        command = Command(arguments=module, folder=folder.root, log=folder.broker_log)
        self._broker = await start_child(command)
        self.record.broker_process = self._broker.process_id
        try:
            async with asyncio.timeout(READY_TIMEOUT_MS / 1000):
                async for line in self._broker.lines():
                    return BROKER_URL.format(int(json.loads(line)["port"]))
        except TimeoutError:
            pass
        raise NodeError(
            f"the embedded broker did not start: {self._broker.last_words() or 'no answer'}; see "
            f"{folder.broker_log}"
        )

    async def _start_node(self, number: int) -> None:
        folder, name = self._launch.folder, self._launch.contract.members[number].name
        module = ("-m", "fednode", "run", "--config", str(folder.config(name)), "--events", "-")
        node = await start_child(
            Command(arguments=module, folder=folder.root, log=folder.log(name))
        )
        self._nodes[number] = node
        self.record.node_processes.setdefault(number, []).append(node.process_id)
        self._happened(
            {
                "event": "process",
                "role": "node",
                "member": number,
                "process_id": node.process_id,
                "folder": str(folder.member(name)),
            }
        )
        task = asyncio.create_task(self._listen(number, node))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, number: int, node: Child) -> None:
        async for line in node.lines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # not an event: a library that prints
            if isinstance(event, dict):
                self._events.put_nowait(event)
        status = await node.wait()
        if self._nodes.get(number) is node:
            self._events.put_nowait(
                {
                    "event": "exit",
                    "member": number,
                    "status": status,
                    "log": str(self._launch.folder.log(self._view.members[number].name)),
                    "words": node.last_words() or f"exit status {status}",
                }
            )

    async def _follow(self) -> None:
        last_s = self._now_s()
        while not self.record.is_interrupted:
            if self._view.is_done and not self._unscored:
                return
            self._check_alive()
            try:
                event = await asyncio.wait_for(self._events.get(), SCORE_AGAIN_S)
            except TimeoutError:
                if self._now_s() - last_s > STALL_S:
                    raise StalledError(self._why_stalled()) from None
            else:
                last_s = self._now_s()
                self._happened(event)
                await self._kill_due(event)
            self._score()

    def _happened(self, event: Event) -> None:
        known = len(self._view.heights)
        self._view.apply(event, self._now_s())
        if len(self._view.heights) > known:
            self._unscored.append(max(self._view.heights))
        self._launch.display.happened(event, self._view)

    def _score(self) -> None:
        """Judge new models; one that no member holds yet is tried again."""
        waiting = []
        for number in self._unscored:
            height = self._view.heights[number]
            if self._launch.scorer is not None:
                metrics = self._launch.scorer.score(height.block.model_id)
                if metrics is None:
                    waiting.append(number)
                    continue
                height.accuracy = metrics.get("accuracy")
            event = {"event": "scored", "height": number, "accuracy": height.accuracy}
            self._launch.display.happened(event, self._view)
        self._unscored = waiting

    async def _kill_due(self, event: Event) -> None:
        for kill in list(self._kills):
            is_due = self._view.members[kill.member].height >= kill.height
            if event.get("event") != "committed" or not is_due:
                continue
            self._kills.remove(kill)
            node = self._nodes.pop(kill.member)
            node.kill()
            await node.wait()
            name = self._view.members[kill.member].name
            text = f"{name} killed (kill -9) after height {kill.height} and started again"
            self._happened({"event": "killed", "member": kill.member, "text": text})
            await self._start_node(kill.member)

    def _check_alive(self) -> None:
        """Rule P93: name the cause when too few validators run to decide anything."""
        members = self._launch.contract.members
        powers = self._view.powers or {
            number: 1 for number, member in enumerate(members) if member.is_validator
        }
        alive = sum(powers.get(number, 0) for number in self._view.running)
        if not self._view.is_done and not is_quorum(alive, sum(powers.values())):
            raise StalledError(self._why_stalled())

    def _why_stalled(self) -> str:
        ended = [
            f"{member.name} ended ({member.last_words or 'no reason given'})"
            for member in self._view.members
            if not member.is_running
        ]
        height, folder = self._view.open.height, self._launch.folder.root
        why = ", ".join(ended) or f"nothing happened for {STALL_S:.0f} s"
        return (
            f"the network stopped at height {height}, view {self._view.open.view}: {why}; see the "
            f"node.log in the members' folders below {folder}, then go on with --resume"
        )

    def _note_trainers(self) -> None:
        for number, node in self._nodes.items():
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(node.process_id).children()
                self.record.trainer_processes[number] = [child.pid for child in children]

    def _broker_fields(self) -> dict[str, object]:
        if self._broker is None:
            return {}
        return {"role": "broker", "process_id": self._broker.process_id}

    def _interrupt(self) -> None:
        self.record.is_interrupted = True
        self._events.put_nowait({"event": "interrupted"})

    async def _stop(self) -> None:
        began = self._now_s()
        nodes = tuple(self._nodes.values())
        self._nodes.clear()
        await asyncio.gather(*(node.stop() for node in nodes))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._broker is not None:
            await self._broker.stop()
        self.record.seconds["stop"] = self._now_s() - began

    def _now_s(self) -> float:
        return self._launch.clock.monotonic_ms() / 1000
