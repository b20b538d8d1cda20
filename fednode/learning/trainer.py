"""The node's side of its training process: start it, ask it, notice its end."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.frames import (
    PREFIX,
    Header,
    check_lengths,
    encode_frame,
    pack_integers,
    unpack_integers,
)
from fednode.learning.learner import Metrics, RowSet
from fednode.learning.local_training import FitOutcome

logger = logging.getLogger(__name__)

LAST_LINES_MAX: Final = 20
"""Lines of the process's standard error that an error message quotes."""
LINE_BYTES_MAX: Final = 1 << 16
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_ERRORS: Final[dict[str, type[Exception]]] = {
    error.__name__: error for error in (DataError, SettingsError, TrainerError)
}
_READY: Final = 0
"""Number of the reply by which the process says that it has loaded its rows."""

Reply = tuple[Header, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerTimeouts:
    """Longest waits in seconds; a process that exceeds one is killed."""

    start_s: float = 300.0
    """Large libraries of a member's own learner take minutes to import on a slow disk."""
    fit_s: float = 600.0
    evaluate_s: float = 600.0
    close_s: float = 2.0


class TrainerProcess:
    """A training process for one job; after a `TrainerError` it can be started again.

    Requests are answered one after the other. One whose caller is cancelled is still worked on;
    its answer is dropped.
    """

    def __init__(self, job_path: Path, timeouts: TrainerTimeouts | None = None) -> None:
        self._job_path = job_path
        self._timeouts = timeouts or TrainerTimeouts()
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._numbers = count(1)
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES_MAX)

    @property
    def process_id(self) -> int | None:
        """Id of the running process; None when there is none."""
        is_running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and is_running else None

    async def start(self) -> None:
        """Start the process and wait until it has loaded its rows; end an earlier one first.

        Raises:
            DataError: If the rows cannot be read or learned from.
            SettingsError: If the job, the model or the attack cannot be understood.
            TrainerError: If the process ended or did not answer in time.
        """
        await self.close()
        self._last_lines.clear()
        # Threads of the linear algebra would compete with the node; they must be limited before
        # numpy is loaded, so by the environment.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fednode.learning.worker",
            str(self._job_path), str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            env=os.environ | _ONE_THREAD,
        )  # fmt: skip
        ready = self._expect(_READY)
        log = asyncio.create_task(self._read_log(self._process))
        self._tasks = (asyncio.create_task(self._read_replies(self._process, log)), log)
        await self._wait(_READY, ready, self._timeouts.start_s)

    async def fit(self, training_round: int, model: NDArray[np.int32]) -> FitOutcome:
        """Train one training round from the model's integers, shape (p,).

        Raises:
            TrainerError: If training diverged, or the process ended or did not answer in time.
        """
        request = {"kind": "fit", "training_round": training_round}
        header, body = await self._ask(request, model, self._timeouts.fit_s)
        return FitOutcome(
            delta=unpack_integers(body), samples=header["samples"], metrics=header["metrics"]
        )

    async def evaluate(self, model: NDArray[np.int32], rows: RowSet) -> Metrics:
        """Return figures of the model on the named rows of this member.

        Raises:
            DataError: If the member has no such rows.
            TrainerError: If the process ended or did not answer in time.
        """
        request = {"kind": "evaluate", "rows": rows}
        header, _ = await self._ask(request, model, self._timeouts.evaluate_s)
        metrics: Metrics = header["metrics"]
        return metrics

    async def close(self) -> None:
        """End the process, by force if it does not end by itself; never fails."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), self._timeouts.close_s)
        except TimeoutError:
            _kill(process)
            await process.wait()
        await asyncio.gather(*self._tasks)
        self._process = None
        self._tasks = ()

    def _expect(self, number: int) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = reply
        return reply

    async def _ask(self, request: Header, model: NDArray[np.int32], timeout_s: float) -> Reply:
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None:
            raise TrainerError("the training process is not running: start it first")
        number = next(self._numbers)
        reply = self._expect(number)
        process.stdin.write(encode_frame({**request, "id": number}, pack_integers(model)))
        return await self._wait(number, reply, timeout_s)

    async def _wait(self, number: int, reply: asyncio.Future[Reply], timeout_s: float) -> Reply:
        try:
            return await asyncio.wait_for(reply, timeout_s)
        except TimeoutError:
            if self._process is not None:
                _kill(self._process)
            raise TrainerError(
                f"the training process did not answer within {timeout_s:g} s and was killed"
            ) from None
        finally:
            self._pending.pop(number, None)

    async def _read_replies(
        self, process: asyncio.subprocess.Process, log: asyncio.Task[None]
    ) -> None:
        assert process.stdout is not None
        reason = ""
        try:
            while True:
                self._settle(*await _read_frame(process.stdout))
        except asyncio.IncompleteReadError:
            reason = "the training process ended"
        except (TrainerError, ValueError) as error:
            reason = f"the training process wrote what is not a frame ({error}) and was killed"
            _kill(process)
        status = await process.wait()
        await log
        text = f"{reason}: {_describe(status)}"
        if self._last_lines:
            text += "; its last lines were:\n" + "\n".join(self._last_lines)
        for reply in self._pending.values():
            if not reply.done():
                reply.set_exception(TrainerError(text))

    def _settle(self, header: dict[str, Any], body: bytes) -> None:
        number, kind = header.get("id"), header.get("error")
        if number is None or (kind is not None and kind not in _ERRORS):
            raise TrainerError(
                f"expected an answer with an id and a known kind of error, got {header}"
            )
        reply = self._pending.get(number)
        if reply is None or reply.done():
            return  # its caller was cancelled
        if kind is not None:
            reply.set_exception(_ERRORS[kind](str(header.get("message", ""))))
        else:
            reply.set_result((header, body))

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while data := await process.stderr.read(LINE_BYTES_MAX):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                text = line.decode(errors="replace")
                self._last_lines.append(text)
                logger.info("training process: %s", text)


async def _read_frame(stream: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    header_bytes, body_bytes = check_lengths(await stream.readexactly(PREFIX.size))
    header = json.loads(await stream.readexactly(header_bytes))
    return header, await stream.readexactly(body_bytes)


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


def _describe(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
