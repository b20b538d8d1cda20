"""The learner that `docs/models.md` shows, taken from there, is one."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from fednode.learning.dataset import Dataset
from fednode.learning.learner_file import OwnCode
from fednode.learning.local_training import LocalTraining
from fednode.learning.models import build_network, tensor_table
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.registry import build_learner
from tests.fednode.learning.builders import SETTINGS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "models.md"
PIXELS = 28 * 28


def test_documented_augmentation_trains_a_built_in_network(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "images.py"
    file.write_text(code, encoding="utf-8")
    settings = replace(SETTINGS, model="images.py:make", optimizer="adam,prox=0.1", local_steps=3)
    rng = np.random.default_rng(0)
    rows = Dataset(
        features=rng.normal(size=(20, PIXELS)),
        labels=rng.integers(0, 10, 20).astype(float),
        feature_names=tuple(str(pixel) for pixel in range(PIXELS)),
    )
    start = build_network("mlp-softmax10", PIXELS).initial_parameters(rng)
    tensors = tensor_table(start)

    outcome = LocalTraining(
        learner=build_learner(settings, PIXELS, {"training": rows}, OwnCode(file=file)),
        settings=settings,
        tensors=tensors,
        member=0,
        momenta=MomentumMemory(),
    ).fit(1, np.zeros(sum(spec.size for spec in tensors), np.int32))

    assert outcome.metrics["local_steps"] == 3.0
    assert outcome.delta.any()
