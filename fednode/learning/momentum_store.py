"""Where a trainer keeps its worker momentum between training rounds, and over a restart."""

import os
from io import BytesIO
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import TrainerError

KEPT_MAX: Final = 4
"""Newest states that are kept; older ones belong to training rounds that cannot come again."""
_PREFIX: Final = "momentum-"


class MomentumStore(Protocol):
    """Keeps one momentum per training round."""

    def load_before(self, training_round: int) -> NDArray[np.float64] | None:
        """Return the momentum after the newest training round before this one, if there is any."""
        ...

    def save(self, training_round: int, momentum: NDArray[np.float64]) -> None:
        """Keep the momentum after a training round, in place of an earlier one for it."""
        ...


class MomentumMemory:
    """Keeps the momenta of a process that is never restarted."""

    def __init__(self) -> None:
        self._states: dict[int, NDArray[np.float64]] = {}

    def load_before(self, training_round: int) -> NDArray[np.float64] | None:
        """Return the momentum after the newest training round before this one, if there is any."""
        earlier = [number for number in self._states if number < training_round]
        return self._states[max(earlier)] if earlier else None

    def save(self, training_round: int, momentum: NDArray[np.float64]) -> None:
        """Keep the momentum after a training round."""
        self._states[training_round] = momentum
        for number in sorted(self._states)[:-KEPT_MAX]:
            del self._states[number]


class MomentumFolder:
    """Keeps the momenta in one file per training round.

    A file appears whole or not at all, so a trainer that is killed inside a training round does
    that round again from the state before it, with the same result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load_before(self, training_round: int) -> NDArray[np.float64] | None:
        """Return the momentum after the newest training round before this one, if there is any.

        Raises:
            TrainerError: If the file cannot be read.
        """
        earlier = [number for number in self._numbers() if number < training_round]
        if not earlier:
            return None
        path = self._path(max(earlier))
        try:
            momentum = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise TrainerError(
                f"cannot read the worker momentum in {path}: {error}; delete the file to go on "
                "from the training round before it"
            ) from error
        return np.asarray(momentum, dtype=np.float64)

    def save(self, training_round: int, momentum: NDArray[np.float64]) -> None:
        """Write the momentum after a training round so that it survives a power cut."""
        buffer = BytesIO()
        np.save(buffer, momentum, allow_pickle=False)
        path = self._path(training_round)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(self._folder)
        for number in self._numbers()[:-KEPT_MAX]:
            self._path(number).unlink()

    def _numbers(self) -> list[int]:
        names = (path.stem.removeprefix(_PREFIX) for path in self._folder.glob(f"{_PREFIX}*.npy"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, training_round: int) -> Path:
        return self._folder / f"{_PREFIX}{training_round:08d}.npy"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
