"""The training process: `python -m fednode.learning.worker JOB PARENT_PID`.

It answers requests on standard input with frames on standard output, at lower priority than the
node that started it, and ends at once when that node ends.
"""

import ctypes
import logging
import os
import signal
import sys
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, Final

from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.frames import (
    Header,
    encode_frame,
    pack_integers,
    private_output,
    read_frame,
    unpack_integers,
)
from fednode.learning.job import load_job, open_job
from fednode.learning.local_training import LocalTraining

NICENESS: Final = 10
"""Added to the priority number, so that a node that trains still answers its peers in time."""
FAILED_START: Final = 2
"""Exit status of a process whose job cannot be carried out."""
_PR_SET_PDEATHSIG: Final = 1
_ARGUMENTS: Final = 3

Request = tuple[Header, bytes]


def main(arguments: list[str]) -> int:
    """Run one job until standard input ends; return the exit status."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("expected the path of a training job and the process id of its node\n")
        return FAILED_START
    _die_with_parent(int(arguments[2]))
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    output = private_output()
    # Unbuffered: a thread that waits in a buffer's lock would abort the interpreter at its end.
    requests = _read_requests(FileIO(sys.stdin.fileno()))
    try:
        training = open_job(load_job(Path(arguments[1])))
    except (DataError, SettingsError, TrainerError) as error:
        _write(output, {"id": 0, "error": type(error).__name__, "message": str(error)})
        return FAILED_START
    _write(output, {"id": 0})
    while True:
        header, body = requests.get()
        _write(output, *_answer(training, header, body))


def _answer(training: LocalTraining, header: Header, body: bytes) -> tuple[dict[str, Any], bytes]:
    # A member's own learner raises nothing else (`OwnLearner`). Errors beyond these three are our
    # faults: the process ends with a traceback, which the node reports.
    number = header["id"]
    try:
        model = unpack_integers(body)
        if header["kind"] == "fit":
            outcome = training.fit(header["training_round"], model)
            reply = {"id": number, "samples": outcome.samples, "metrics": dict(outcome.metrics)}
            return reply, pack_integers(outcome.delta)
        metrics = training.evaluate(model, header["rows"])
    except (DataError, SettingsError, TrainerError) as error:
        return {"id": number, "error": type(error).__name__, "message": str(error)}, b""
    return {"id": number, "metrics": dict(metrics)}, b""


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(0)


def _read_requests(stream: FileIO) -> SimpleQueue[Request]:
    # A thread of its own sees the end of the node even while a training round runs.
    requests: SimpleQueue[Request] = SimpleQueue()

    def read() -> None:
        while (request := read_frame(stream)) is not None:
            requests.put(request)
        os._exit(0)

    Thread(target=read, name="requests", daemon=True).start()
    return requests


def _write(output: BinaryIO, header: Header, body: bytes = b"") -> None:
    output.write(encode_frame(header, body))
    output.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
