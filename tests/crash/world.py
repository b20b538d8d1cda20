"""A simulated network in which one member's disk fails in the middle of what it writes."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

from typing_extensions import override

from consensus.effects import Stored
from ledger import database
from ledger.errors import StorageError
from ledger.genesis import Contract
from tests.crash.power import Failure, Loss, PowerDisk
from tests.simulation.disk import Disk, StoreDisk
from tests.simulation.node import Node
from tests.simulation.settings import Settings
from tests.simulation.world import Outcome, World, memory_folder

VICTIM = 1
HEIGHTS = 3
CHECKPOINT_PAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """At which operation the disk fails, how, and what is found afterwards."""

    fail_at: int | None
    failure: Failure = Failure.POWER
    loss: Loss = Loss.LOST
    has_checkpoints: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What happened, and the changes to the victim's disk: `started` of them made the ledger."""

    outcome: Outcome
    operations: tuple[str, ...]
    started: int
    ended: int


class PowerStoreDisk(StoreDisk):
    """The real store of the victim; a crash finds on the disk what survived."""

    def __init__(
        self, contract: Contract, folder: Path, settings: Settings, power: PowerDisk, plan: Plan
    ) -> None:
        super().__init__(contract, folder, settings)
        self._power = power
        self._plan = plan

    @override
    def crash(self) -> None:
        if self._power.has_failed:
            self.close()
            if self._plan.failure is Failure.POWER:
                rng = Random(f"{self._plan}")
                self._power.restore(self._plan.loss, rng)
            else:
                self._power.fail_at = None
        super().crash()


class PowerNode(Node):
    """The victim ends where its disk fails; the others are as ever."""

    @override
    def store(self, effect: Stored) -> None:
        try:
            super().store(effect)
        except StorageError:
            if self.member != VICTIM:
                raise
            self.crash()


class PowerWorld(World):
    """Four members, Ed25519 and real stores, no other fault."""

    def __init__(self, plan: Plan, folder: Path, power: PowerDisk) -> None:
        self._plan = plan
        self._power = power
        self.operations_at_end = 0
        settings = Settings(seed=7, is_real=True, heights=HEIGHTS)
        super().__init__(settings, node_class=PowerNode, folder=folder)

    @override
    def end(self) -> Outcome:
        self.operations_at_end = len(self._power.operations)
        return super().end()

    @override
    def _make_disk(self, member: int) -> Disk:
        if member != VICTIM:
            return super()._make_disk(member)
        folder = victims_folder(self._folder)
        return PowerStoreDisk(self.contract, folder, self.settings, self._power, self._plan)


def victims_folder(folder: Path | None) -> Path:
    """The watched folder."""
    assert folder is not None, "a world with real stores"
    return folder / f"member-{VICTIM}"


def run(plan: Plan) -> Run:
    """Run one network through its failure and to its end.

    Raises:
        ViolationError: If a promise was broken.
        AssertionError: If the failure was never reached.
    """
    with tempfile.TemporaryDirectory(prefix="power-", dir=memory_folder()) as name:
        folder = Path(name)
        power = PowerDisk(victims_folder(folder))
        with power.watched(), checkpoints(every_pages=CHECKPOINT_PAGES, on=plan.has_checkpoints):
            world = PowerWorld(plan, folder, power)
            started = len(power.operations)
            power.failure = plan.failure
            power.fail_at = plan.fail_at
            outcome = world.run()
        # SQLite says nothing when moving its log fails: nothing is lost, and it tries again.
        assert plan.fail_at is None or len(power.operations) >= plan.fail_at, f"{plan} not reached"
        return Run(
            outcome=outcome,
            operations=tuple(power.operations),
            started=started,
            ended=world.operations_at_end,
        )


@contextmanager
def checkpoints(*, every_pages: int, on: bool) -> Iterator[None]:
    """Let SQLite move its log into the database often, as it does in a long life."""
    original = database.connect

    def connect(path: Path, *, mode: str) -> sqlite3.Connection:
        connection = original(path, mode=mode)
        connection.execute(f"PRAGMA wal_autocheckpoint={every_pages}")
        return connection

    with mock.patch.object(database, "connect", connect) if on else nullcontext():
        yield
