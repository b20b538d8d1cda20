"""Print as a table what each aggregation rule learns while some members lie.

Digits (scikit-learn), an MLP 64-32-10, 20 members with a Dirichlet 1 split, the first four of them
lying, worker momentum 0.9, 120 training rounds: training, quantization and aggregation are those of
a node, without messages and votes. Every update counts the same: no reputation helps the rule. The
figures are accuracies on a fifth of the rows that nobody trains on, means over the seeds.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from fednode.aggregation.fixedpoint import unflatten
from fednode.aggregation.rules import RuleSpec, apply_delta, combine
from fednode.attacks import parse_attack
from fednode.collusion import a_little_is_enough, inner_product_manipulation, mimic, min_max
from fednode.learning.dataset import Dataset
from fednode.learning.errors import TrainerError
from fednode.learning.learner import EvaluationContext, TrainingSettings
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.registry import build_learner, initial_model
from fednode.learning.splits import hold_out
from ledger.records import VALUE_MAX

Integers: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float64]
MEMBERS: Final = 20
LIARS: Final = 4
TRAINING_ROUNDS: Final = 120
NONE: Final = "none"
ALONE: Final = ("sign-flip:1", "sign-flip:4", "sign-flip:10", "gaussian:10", "label-flip")
"""Attacks of liars who know their own update only."""
TOGETHER: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "IPM 0.5": partial(inner_product_manipulation, factor=0.5),
    "IPM 1.1": partial(inner_product_manipulation, factor=1.1),
    "ALIE 1.5": partial(a_little_is_enough, deviations=1.5),
    "min-max": min_max,
    "mimic": mimic,
}
"""Attacks of liars who know all honest updates; all of them send the same."""
COLUMNS: Final = (NONE, *ALONE, *TOGETHER)
RULES: Final = "mean,nnm-geometric-median,nnm-trimmed-mean"


def main() -> None:
    """Train once for each rule, attack and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", default=RULES, help="rule ids with commas")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--training-rounds", type=int, default=TRAINING_ROUNDS)
    options = parser.parse_args()
    print(f"| rule | {' | '.join(COLUMNS)} | **worst** |\n|---|{'---|' * (len(COLUMNS) + 1)}")
    for rule_id in options.rules.split(","):
        rule = RuleSpec(rule_id=rule_id, f=LIARS)
        scores = [
            np.mean(
                [score(rule, each, seed, options.training_rounds) for seed in range(options.seeds)]
            )
            for each in COLUMNS
        ]
        cells = [f"{value:.3f}" for value in scores]
        print(f"| `{rule_id}` | {' | '.join(cells)} | **{min(scores):.3f}** |", flush=True)


def score(rule: RuleSpec, attack: str, seed: int, training_rounds: int) -> float:
    """Return the accuracy on the rows held out after all training rounds."""
    settings = TrainingSettings(
        model="mlp-32-softmax10",
        learning_rate=0.2,
        momentum=0.0,
        batch_size=32,
        local_steps=10,
        worker_momentum=0.9,
        seed=seed,
    )
    sites, held_out = digits(seed)
    tensors, model = initial_model(settings, held_out.features.shape[1], seed)
    trainings = [
        training(settings, site, member, attack if member < LIARS else NONE)
        for member, site in enumerate(sites)
    ]
    for training_round in range(1, training_rounds + 1):
        liars = [] if attack in TOGETHER else trainings[:LIARS]
        try:
            rows = [each.fit(training_round, model).delta for each in (*liars, *trainings[LIARS:])]
        except TrainerError:
            break  # The model is ruined so far that honest members cannot train it any more.
        if attack in TOGETHER:
            rows = [collude(attack, rows)] * LIARS + rows
        model = apply_delta(model, combine(rule, rows, [1] * MEMBERS))
    judge = build_learner(settings, held_out.features.shape[1], {"test": held_out})
    figures = judge.evaluate(unflatten(model, tensors, np.float64), EvaluationContext(rows="test"))
    return figures["accuracy"]


def digits(seed: int) -> tuple[tuple[Dataset, ...], Dataset]:
    """Return the rows of each member, and those that nobody trains on."""
    features, labels = load_digits(return_X_y=True)
    names = tuple(str(column) for column in range(features.shape[1]))
    rows = Dataset(features=features / 16, labels=labels.astype(float), feature_names=names)
    rng = np.random.default_rng(seed)
    kept, held = hold_out(rows.labels, 0.2, rng)
    training_rows = rows.take(kept)
    parts = split_labels(training_rows.labels, rng)
    return tuple(training_rows.take(part) for part in parts), rows.take(held)


def split_labels(labels: Floats, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return row indices by member: of each class shares drawn from Dirichlet 1, sizes unequal."""
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(MEMBERS)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.rint(np.cumsum(rng.dirichlet(np.ones(MEMBERS)))[:-1] * len(rows))
        for part, share in zip(parts, np.split(rows, cuts.astype(np.int64)), strict=True):
            part.append(share)
    return [np.sort(np.concatenate(part)) for part in parts]


def training(settings: TrainingSettings, rows: Dataset, member: int, attack: str) -> LocalTraining:
    """Return one member's trainer, who lies if the attack is one of `ALONE`."""
    lie = parse_attack(attack) if attack in ALONE else None
    if lie is not None:
        rows = lie.apply_to_rows(rows)
    n_features = rows.features.shape[1]
    return LocalTraining(
        learner=build_learner(settings, n_features, {"training": rows}),
        settings=settings,
        tensors=initial_model(settings, n_features, settings.seed)[0],
        member=member,
        momenta=MomentumMemory(),
        attack=lie,
    )


def collude(attack: str, honest: list[Integers]) -> Integers:
    """Return what all liars send, in quanta."""
    sent = TOGETHER[attack](np.stack(honest).astype(np.float64))
    return np.clip(np.rint(sent), -VALUE_MAX, VALUE_MAX).astype(np.int32)


if __name__ == "__main__":
    main()
