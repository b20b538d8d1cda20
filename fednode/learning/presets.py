"""Named choices of data and settings, each with the scores that it was chosen for.

All are with statistics common to the sites; `tests/fednode/learning/test_scores.py` holds them to
their scores.
"""

from dataclasses import dataclass
from typing import Final

from fednode.learning.data_spec import DataSpec
from fednode.learning.learner import TrainingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Data, settings and the number of training rounds that go together."""

    data: DataSpec
    settings: TrainingSettings
    training_rounds: int


DEMO: Final = Preset(
    data=DataSpec(
        source="sklearn:breast_cancer",
        split="dirichlet:0.5",
        sites=5,
        test_fraction=0.2,
    ),
    settings=TrainingSettings(
        model="logistic",
        learning_rate=0.05,
        momentum=0.0,
        batch_size=16,
        local_steps=50,
        worker_momentum=0.0,
        seed=0,
    ),
    training_rounds=10,
)
"""Breast cancer (Wisconsin, 569 rows): five sites with label skew, one of which may lie.

No worker momentum: over ten training rounds it delays learning more than it hinders an attacker.
"""

HEART: Final = Preset(
    data=DataSpec(
        source="processed.cleveland.data",
        header=False,
        column_names=(
            "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang",
            "oldpeak", "slope", "ca", "thal", "num",
        ),
        label="num",
        positive="> 0",
        drop_columns=("slope", "ca", "thal"),
        categorical=("cp", "restecg"),
        drop_missing_rows=True,
        allow_one_class=True,  # all 30 training rows of Switzerland are positive
    ),
    settings=TrainingSettings(
        model="logistic",
        learning_rate=0.003,
        momentum=0.0,
        batch_size=4,
        local_steps=100,
        worker_momentum=0.9,
        seed=0,
    ),
    training_rounds=15,
)  # fmt: skip
"""UCI Heart Disease: four hospitals, one file each; replace `data.source` by the member's file.

References:
    Columns, split, batch size, local steps and training rounds as in du Terrail et al., "FLamby",
    NeurIPS 2022; but standardised by the hospitals' common statistics, and another learning rate.
"""
