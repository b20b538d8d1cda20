"""The guides to own learners: their code runs as it stands, and learns."""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fednode.learning.data_spec import DataSpec
from fednode.learning.dataset import Dataset
from fednode.learning.learner import EvaluationContext, FitContext, TrainingSettings
from fednode.learning.learner_file import LearnerFactory, OwnCode
from fednode.learning.own_learner import build_own
from fednode.learning.site_data import load_sites, site_datasets
from fednode.learning.statistics import combine, site_statistics
from fednode.testnet import History

GUIDES = Path(__file__).resolve().parent.parent / "docs" / "learners"
SPEC = DataSpec(source="sklearn:breast_cancer", split="iid", sites=4, test_fraction=0.2)

SETTINGS = TrainingSettings(
    model="my_learner.py:MyLearner", learning_rate=0.05, momentum=0.0, batch_size=16,
    local_steps=100, worker_momentum=0.0, seed=1,
)  # fmt: skip


def blocks(guide: str) -> list[str]:
    text = (GUIDES / guide).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def accuracy_of(code: str, folder: Path) -> float:
    """Train the learner in some code for one training round; judge it on rows that it never saw."""
    file = folder / "my_learner.py"
    file.write_text(code, encoding="utf-8")
    site = load_sites(SPEC)[0]
    features = combine((site_statistics(site.training),))
    data = site_datasets(site, features, allow_one_class=False)
    learner = build_own(SETTINGS, len(features), data, OwnCode(file=file))
    parameters = learner.initial_parameters(np.random.default_rng(1))
    context = FitContext(training_round=1, settings=SETTINGS, rng=np.random.default_rng(2))
    delta = learner.fit(parameters, context).delta
    trained = {name: values + delta[name] for name, values in parameters.items()}
    return learner.evaluate(trained, EvaluationContext(rows="test"))["accuracy"]


@pytest.mark.parametrize(
    ("guide", "number"), [("README.md", 0), ("scikit-learn.md", 0), ("scikit-learn.md", 1)]
)
def test_learner_of_a_guide_learns(tmp_path: Path, guide: str, number: int) -> None:
    assert accuracy_of(blocks(guide)[number], tmp_path) > 0.9


def test_module_of_the_guide_to_pytorch_learns(tmp_path: Path, torch: ModuleType) -> None:
    del torch

    assert accuracy_of(blocks("pytorch.md")[0], tmp_path) > 0.9


def test_notebook_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}

    exec(blocks("notebooks.md")[0], names)  # noqa: S102  # our own text

    history = names["history"]
    assert isinstance(history, History)
    assert history.mean("accuracy")[-1] > 0.9
    assert capsys.readouterr().out.endswith("()\n")


@pytest.mark.parametrize(("name", "n_features"), [("Images", 28 * 28), ("Days", 14)])
def test_other_modules_of_the_guide_take_the_rows_that_it_says(
    torch: ModuleType, name: str, n_features: int
) -> None:
    del torch
    names: dict[str, LearnerFactory] = {}
    exec(blocks("pytorch.md")[1], names)  # noqa: S102  # our own text
    rows = Dataset(
        features=np.random.default_rng(0).normal(size=(20, n_features)),
        labels=np.arange(20.0) % 10,
        feature_names=(),
    )
    learner = names[name](SETTINGS, n_features, {"training": rows})
    parameters = learner.initial_parameters(np.random.default_rng(1))

    result = learner.fit(
        parameters,
        FitContext(training_round=1, settings=SETTINGS, rng=np.random.default_rng(2)),
    )

    before = learner.evaluate(parameters, EvaluationContext(rows="training"))
    assert result.metrics["loss"] < before["loss"]
