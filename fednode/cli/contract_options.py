"""Options of `fednode genesis create`: what the founders choose."""

from pathlib import Path
from typing import Annotated

import typer

Cards = Annotated[
    list[Path], typer.Argument(help="Cards of all members, in their order.", metavar="CARD...")
]
Title = Annotated[str, typer.Option(help="Title of the network.")]
GenesisOut = Annotated[
    Path, typer.Option(help="Genesis file to make; the network key goes next to it.")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="logistic, softmax10, linear, cox, autoregression7, mlp, mlp-16-tanh-softmax10, or a "
        "learner as package.module:factory; left out: logistic, or that of the network that is "
        "continued."
    ),
]
Optimizer = Annotated[
    str,
    typer.Option(
        help="sgd, adam or adamw, with options as in adam,b2=0.99; for all: prox (FedProx), "
        "weights (of classes, 1:3), stop (share of rows for early stopping), patience."
    ),
]
Learner = Annotated[
    str,
    typer.Option(
        help="Own learner in a file, instead of a model: path.py:MyLearner.", metavar="FILE:NAME"
    ),
]
InitialModel = Annotated[
    Path | None,
    typer.Option(help="Model file to start from; left out: the seed decides.", metavar="FILE"),
]
TrainingRounds = Annotated[int, typer.Option(help="How often updates are aggregated.", min=1)]
Rule = Annotated[str, typer.Option(help="Aggregation rule: nnm-geometric-median or mean.")]
LearningRate = Annotated[float, typer.Option(help="Step size of local training.")]
Momentum = Annotated[float, typer.Option(help="Momentum of local training.")]
WorkerMomentum = Annotated[float, typer.Option(help="Momentum of updates across training rounds.")]
BatchSize = Annotated[int, typer.Option(help="Rows per local step.", min=1)]
LocalSteps = Annotated[int, typer.Option(help="Local steps per training round.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of initial model and training.", min=0)]
ByzantineBudget = Annotated[
    int | None, typer.Option(help="Validators that may lie; left out: as many as possible.")
]
TrainerBudget = Annotated[
    int | None, typer.Option(help="Trainers that may lie; left out: as many as possible.")
]
MinUpdates = Annotated[
    int | None, typer.Option(help="Fewest updates for a model; left out: more than half.")
]
MaxStaleness = Annotated[
    int,
    typer.Option(
        help="Training rounds by which an update may come late and count, with less weight.", min=0
    ),
]
Metric = Annotated[
    str,
    typer.Option(
        help="Figure by which hold-outs judge models: -loss, accuracy, auc; -NAME: less is better."
    ),
]
Patience = Annotated[
    int,
    typer.Option(help="Regretted models in a row before training returns to the best.", min=1),
]
Tolerance = Annotated[
    float, typer.Option(help="How much worse than the best is regretted.", min=0.0)
]
CollectTimeout = Annotated[
    float, typer.Option(help="Seconds to wait for updates that are expected.", min=0.001)
]
ViewTimeout = Annotated[
    float, typer.Option(help="Seconds to wait for a proposer, before the next.", min=0.001)
]
Continues = Annotated[
    Path | None,
    typer.Option(
        help="Ledger of an earlier network, of which too few are left: folder or exported file.",
        metavar="LEDGER",
    ),
]
ContinuesGenesis = Annotated[
    Path | None,
    typer.Option(help="Genesis of the earlier network, for an exported file.", metavar="FILE"),
]
ContinuesModel = Annotated[
    Path | None,
    typer.Option(
        help="Its last or best model; left out: that of the folder, as 'model export' takes it.",
        metavar="FILE",
    ),
]


def chosen_model(model: str | None, learner: str) -> tuple[str | None, Path | None]:
    """Return the model as a contract names it, None if none was chosen, and a learner's file.

    Args:
        model: Value of `--model`.
        learner: Value of `--learner`.
    """
    from fednode.learning.learner_file import parse_learner

    if not learner:
        return model, None
    if model is not None:
        raise typer.BadParameter(f"expected --model or --learner, got both: {model} and {learner}")
    return parse_learner(learner)
