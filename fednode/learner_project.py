"""A folder to begin with: a learner in one file, and the command that trains it.

The learners are those of the guides in `docs/learners`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fednode.errors import ConfigError
from fednode.founding.genesis_files import check_absent, save_new

LEARNER_NAME: Final = "my_learner.py"
RUN_NAME: Final = "run"
README_NAME: Final = "README.md"
NUMPY: Final = '''\
import numpy as np

from fednode.learning.learner import FitResult


class MyLearner:
    """Least squares by gradient descent over all rows."""

    def __init__(self, settings, n_features, data):
        self.settings, self.n_features, self.data = settings, n_features, data

    def initial_parameters(self, rng):
        return {"slope": np.zeros(self.n_features), "offset": np.zeros(1)}

    def fit(self, parameters, context):
        rows = self.data["training"]
        slope, offset = parameters["slope"].copy(), parameters["offset"].copy()
        for _ in range(self.settings.local_steps):
            error = rows.features @ slope + offset - rows.labels
            slope -= self.settings.learning_rate * rows.features.T @ error / len(error)
            offset -= self.settings.learning_rate * error.mean()
        delta = {"slope": slope - parameters["slope"], "offset": offset - parameters["offset"]}
        return FitResult(
            delta=delta, samples=len(error), metrics={"loss": float((error**2).mean())}
        )

    def evaluate(self, parameters, context):
        rows = self.data[context.rows]
        scores = rows.features @ parameters["slope"] + parameters["offset"]
        return {"accuracy": float(np.mean((scores > 0.5) == (rows.labels > 0.5)))}
'''
TORCH: Final = """\
from torch import nn

from fednode.learning.adapters.pytorch import torch_learner


def build(n_features: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, 1))


MyLearner = torch_learner(build)
"""
SKLEARN: Final = """\
from sklearn.linear_model import SGDClassifier

from fednode.learning.adapters.scikit import sklearn_learner


def build(settings):
    return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=settings.learning_rate)


MyLearner = sklearn_learner(build)
"""
LEARNERS: Final[Mapping[str, str]] = MappingProxyType(
    {"numpy": NUMPY, "torch": TORCH, "sklearn": SKLEARN}
)
"""Text of the learner's file, by the library that it uses."""
RUN: Final = """\
#!/bin/sh
# Four nodes on this computer train the learner in this folder. Options are added at the end, such
# as --data rows.csv --label outcome; 'fednode testnet --help' lists them.
cd -- "$(dirname -- "$0")" || exit 1
exec fednode testnet --learner my_learner.py:MyLearner --nodes 4 --training-rounds 5 \\
    --data sklearn:breast_cancer --learning-rate 0.05 "$@"
"""
README: Final = """\
# A learner of our own

- `my_learner.py` is the learner. Change it, and nothing else.
- `./run` trains it with four nodes on this computer, on data that comes with scikit-learn
  (`pip install '{needs}'`), and audits their ledgers. `./run --data rows.csv --label outcome`
  trains on rows of your own.

With other hospitals, each on its own computer:

1. Every member runs `fednode init north --name North --broker mqtt://broker.example:1883
   --data north.csv --label outcome` and sends its card.
2. One runs `fednode genesis create *.card --name "Our network" --learner my_learner.py:MyLearner`
   and sends what the command lists, this learner among it.
3. Every member reads `my_learner.py`, since it will run on its rows, puts the files into its
   folder, signs with `fednode genesis sign`, and starts with `fednode run`.
"""
NEEDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "numpy": "fednode[sklearn]",
        "torch": "fednode[torch,sklearn]",
        "sklearn": "fednode[sklearn]",
    }
)


def write_project(folder: Path, library: str) -> tuple[Path, ...]:
    """Write the files of a project; return them.

    Args:
        folder: Made if it is not there.
        library: One of `LEARNERS`.

    Raises:
        ConfigError: If a file is there already, or cannot be written.
    """
    texts = {
        folder / LEARNER_NAME: LEARNERS[library],
        folder / RUN_NAME: RUN,
        folder / README_NAME: README.format(needs=NEEDS[library]),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}; name another folder") from None
    check_absent(*texts)
    for path, text in texts.items():
        save_new(path, text.encode())
    (folder / RUN_NAME).chmod(0o755)
    return tuple(texts)
