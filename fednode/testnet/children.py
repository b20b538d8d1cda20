"""Child processes of a launcher: their own process group, a log file, and an end with the launcher.

A child never gets the terminal's Ctrl-C: the launcher decides in which order its children stop.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fednode
from fednode.testnet import lifeline

LINE_BYTES_MAX: Final = 1 << 24
STOP_GRACE_S: Final = 5.0
LOG_TAIL_BYTES: Final = 4096
ERROR_PREFIX: Final = "fednode: "
"""With which a command begins the sentence about what went wrong."""
_LIFELINE: Final = str(Path(lifeline.__file__).resolve())
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start.

    Attributes:
        arguments: What follows the name of the Python interpreter.
        folder: Working folder.
        log: File that standard error is appended to.
    """

    arguments: tuple[str, ...]
    folder: Path
    log: Path


class Child:
    """A running child process; made by `start_child`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def process_id(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of its standard output until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            yield line.decode(errors="replace").rstrip("\n")

    async def wait(self) -> int:
        """Return its exit status once it ended; negative is the number of a signal."""
        return await self._process.wait()

    def kill(self) -> None:
        """Kill it without warning, as a crash would."""
        self._signal(signal.SIGKILL)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> int:
        """Ask it to end, kill it after `grace_s` seconds; return its exit status."""
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            self.kill()
            return await self._process.wait()

    def last_words(self) -> str:
        """Return the last line of its log, empty where there is none."""
        try:
            data = self._log.read_bytes()[-LOG_TAIL_BYTES:]
        except OSError:
            return ""
        lines = data.decode(errors="replace").strip().splitlines()
        return lines[-1].strip().removeprefix(ERROR_PREFIX) if lines else ""

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            self._process.send_signal(number)


async def start_child(command: Command) -> Child:
    """Start a process that ends with this one; call it on the main thread.

    Raises:
        OSError: If the folder or the log cannot be used.
    """
    keeper = (sys.executable, "-I", "-S", _LIFELINE, str(os.getpid()))
    # The child keeps the log open, not the launcher: a node is the only opener of its folder.
    with command.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *keeper, sys.executable, *command.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=command.folder,
            env=child_environment(),
            limit=LINE_BYTES_MAX,
            process_group=0,
        )  # fmt: skip
    return Child(process, command.log)


def child_environment() -> dict[str, str]:
    """Return the environment of a child: one thread, and this package wherever it lies."""
    # A folder named `ledger` where the user stands must not shadow ours; this package must be found
    # also in a checkout that is not installed.
    source = str(Path(fednode.__file__).resolve().parent.parent)
    paths = (source, os.environ.get("PYTHONPATH", ""))
    return os.environ | _ONE_THREAD | {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
