"""The embedded broker in a process of its own, for test networks, demonstrations and benchmarks."""

import json
import os
import selectors
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

from fednode.transport.broker import LOCAL_HOST
from fednode.transport.errors import TransportError

READY_TIMEOUT_MS = 30_000
STOP_TIMEOUT_MS = 5_000


class BrokerProcess:
    """A context manager around `python -m fednode.transport.broker`.

    The process ends with the context, and also if this process dies without leaving it. Start it
    from the main thread: on Linux the death of the starting thread counts as that of the parent.

    Args:
        port: Port on the loopback address, or 0 for a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self.host = LOCAL_HOST
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The broker's URL for `BrokerSettings`."""
        return f"mqtt://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        """Start the process and wait until clients can connect.

        Raises:
            TransportError: If it did not start; the text is the broker's own.
        """
        command = [sys.executable, "-m", "fednode.transport.broker", "--stop-with-parent"]
        command += ["--host", self.host, "--port", str(self.port)]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            self.port = _read_port(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the process."""
        self._stop()

    def kill(self) -> None:
        """Kill the process without warning, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._stop()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=STOP_TIMEOUT_MS / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _read_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + READY_TIMEOUT_MS / 1000
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TransportError(f"the broker was not ready within {READY_TIMEOUT_MS} ms")
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                text = process.stderr.read().decode(errors="replace").strip()
                raise TransportError(f"the broker did not start: {text}")
            line += piece
    return int(json.loads(line)["port"])
