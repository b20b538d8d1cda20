"""Initial parameters of a member's own learner, made in a process of their own.

`python -m fednode.learning.initial_process` reads one frame on standard input and answers with
one: no process of fednode but those that train ever runs a user's code.
"""

import logging
import subprocess
import sys
from dataclasses import asdict
from io import BytesIO, FileIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fixedpoint import flatten
from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.frames import (
    Header,
    encode_frame,
    pack_integers,
    private_output,
    read_frame,
    unpack_integers,
)
from fednode.learning.learner import TrainingSettings
from fednode.learning.learner_file import OwnCode
from fednode.learning.models import EXPONENT, tensor_table
from fednode.learning.own_learner import build_own
from ledger.records import VALUE_MAX
from ledger.tensors import TensorSpec

Initial = tuple[tuple[TensorSpec, ...], NDArray[np.int32]]
INITIAL_S_MAX: Final = 300.0


def own_initial_model(
    settings: TrainingSettings, n_features: int, seed: int, code: OwnCode
) -> Initial:
    """Return the tensor table and the quantized initial parameters of a member's own learner.

    Args:
        settings: They name the learner.
        n_features: Inputs per row.
        seed: Of the generator that the learner draws from.
        code: Where the learner is.

    Raises:
        SettingsError: If the learner cannot be loaded, or gives no parameters that fit a contract.
    """
    request = {
        "settings": asdict(settings),
        "n_features": n_features,
        "seed": seed,
        "file": None if code.file is None else str(code.file),
    }
    command = (sys.executable, "-m", "fednode.learning.initial_process")
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            command,
            input=encode_frame(request),
            capture_output=True,
            timeout=INITIAL_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"the learner {settings.model} gave no parameters within {INITIAL_S_MAX:g} s"
        ) from None
    reply = read_frame(BytesIO(done.stdout))
    if reply is None:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SettingsError(f"the process of the learner {settings.model} ended: {last}")
    header, body = reply
    if "error" in header:
        raise SettingsError(header["error"])
    table = tuple(
        TensorSpec(name=name, shape=tuple(shape), exponent=exponent)
        for name, shape, exponent in header["tensors"]
    )
    return table, unpack_integers(body)


def main() -> int:
    """Answer one request."""
    logging.basicConfig(level=logging.CRITICAL)  # the answer says it
    output = private_output()
    request = read_frame(FileIO(sys.stdin.fileno()))
    assert request is not None
    try:
        table, values = _make(request[0])
    except (DataError, SettingsError, TrainerError) as error:
        output.write(encode_frame({"error": str(error)}))
    else:
        rows = [(each.name, each.shape, each.exponent) for each in table]
        output.write(encode_frame({"tensors": rows}, pack_integers(values)))
    output.flush()
    return 0


def _make(request: Header) -> Initial:
    settings = TrainingSettings(**request["settings"])
    file = None if request["file"] is None else Path(request["file"])
    learner = build_own(settings, request["n_features"], {}, OwnCode(file=file))
    parameters = learner.initial_parameters(np.random.default_rng(request["seed"]))
    table = tensor_table(parameters)
    try:
        values = flatten(parameters, table)
    except ValueError as error:
        raise SettingsError(f"the learner {settings.model} cannot start: {error}") from error
    if values.size and np.abs(values).max() == VALUE_MAX:
        raise SettingsError(
            f"expected initial parameters of the learner {settings.model} within "
            f"+-{VALUE_MAX / 2**EXPONENT:.0f}, got larger ones; scale the model's inputs"
        )
    return table, values


if __name__ == "__main__":
    sys.exit(main())
