"""Run networks as their users do: a process of its own, followed by its event lines."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import psutil

FINISH_S = 150.0
"""Longest wait for a network to finish, on a machine that is busy with other things."""
EVENT_S = 90.0

Event = dict[str, Any]


def run_to_end(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a `fednode` command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "fednode", *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=FINISH_S, check=False,
    )  # fmt: skip


class Running:
    """A command that was started with `--events --json`; killed at the end if it still runs."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fednode", *arguments, "--events", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.events: list[Event] = []
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, kind: str, is_wanted: Callable[[Event], bool] = lambda _: True) -> Event:
        """Read events until one is wanted, and return it."""
        deadline = monotonic() + EVENT_S
        while True:
            found = [
                event
                for event in self._read(deadline)
                if event.get("event") == kind and is_wanted(event)
            ]
            if found:
                return found[0]

    def finish(self) -> tuple[int, Event]:
        """Read to the end; return exit code and the last line, the report."""
        output, errors = self.process.communicate(timeout=FINISH_S)
        lines = (self._rest + output).decode().splitlines()
        assert lines, errors.decode()
        *events, report = (json.loads(line) for line in lines)
        self.events += events
        return self.process.returncode, report

    def node_processes(self) -> dict[int, Event]:
        """The newest `process` event of each member."""
        return {event["member"]: event for event in self.events if event["event"] == "process"}

    def descendants(self) -> list[psutil.Process]:
        """Every process below the command: broker, nodes, trainers."""
        below: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return below

    def _read(self, deadline: float) -> list[Event]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - monotonic()))
        seen = [event.get("event") for event in self.events[-5:]]
        assert ready, f"no event within {EVENT_S} s; the last were {seen}"
        data = self.process.stdout.read()
        assert data, f"the command ended early; its last events were {seen}"
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = [json.loads(line) for line in lines]
        self.events += events
        return events


def alive(processes: Sequence[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Those that still run after at most `within_s` seconds; a zombie does not."""
    _, remaining = psutil.wait_procs(processes, timeout=within_s)
    left: list[psutil.Process] = [each for each in remaining if is_running(each)]
    return left


def is_running(process: psutil.Process) -> bool:
    """Whether a process runs, and is no zombie that nobody has reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def openers(folder: Path) -> dict[int, set[str]]:
    """By process id, the files below a folder that processes have open now."""
    found: dict[int, set[str]] = {}
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        below = {target for target in _targets(descriptors) if target.startswith(f"{folder}/")}
        if below:
            found[int(descriptors.parent.name)] = below
    return found


def _targets(descriptors: Path) -> Iterator[str]:
    try:
        links = list(descriptors.iterdir())
    except OSError:
        return  # the process ended, or is another user's
    for link in links:
        with suppress(OSError):  # closed meanwhile
            yield str(link.readlink())
