"""What PyTorch makes of small random networks: losses, gradients, and steps of optimizers.

`python -m tests.support.pytorch` writes `tests/vectors/pytorch.json` anew; it needs torch 2.13.0
for the processor. Tests read the file, so that they need none.
"""

import json
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.models import build_network

VECTORS: Final = Path(__file__).resolve().parents[1] / "vectors" / "pytorch.json"
SEED: Final = 20_240_229
ROWS: Final = 6
FEATURES: Final = 3
STEPS: Final = 5
ACTIVATIONS: Final = ("relu", "sigmoid", "tanh")
HEADS: Final = ("", "-softmax4", "-linear2", "-cox")
RATE: Final = 0.1
WALKS: Final[tuple[tuple[str, float, str, dict[str, Any]], ...]] = (
    ("sgd", 0.0, "SGD", {}),
    ("sgd", 0.9, "SGD", {"momentum": 0.9}),
    ("adam", 0.0, "Adam", {}),
    ("adam,b1=0.8,b2=0.95,eps=0.001", 0.0, "Adam", {"betas": (0.8, 0.95), "eps": 0.001}),
    ("adamw", 0.0, "AdamW", {"weight_decay": 0.01}),
    ("adamw,decay=0.3", 0.0, "AdamW", {"weight_decay": 0.3}),
)
"""Our optimizers by text and momentum, and PyTorch's by name and options."""

Floats: TypeAlias = NDArray[np.float64]
Tensor: TypeAlias = Any
"""One of PyTorch, whose types are not there where it is not installed."""


def name_of(activation: str, head: str) -> str:
    """The name of the network with two hidden layers."""
    return "mlp-4-3" + (f"-{activation}" if activation != "relu" else "") + head


def efron(hazard: Tensor, labels: Tensor) -> Tensor:
    """Efron's partial likelihood, term by term as it is printed."""
    import torch

    times, events = labels[:, 0], labels[:, 1] > 0
    total = torch.zeros((), dtype=torch.float64)
    for time in times[events].unique():
        dying = events & (times == time)
        count = int(dying.sum())
        at_risk = torch.exp(hazard[times >= time]).sum()
        tied = torch.exp(hazard[dying]).sum()
        total = total - hazard[dying].sum()
        for place in range(count):
            total = total + torch.log(at_risk - place / count * tied)
    return total / events.sum()


def loss_of(head: str, outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """PyTorch's loss for a head of ours."""
    from torch.nn import functional

    if head == "-cox":
        return efron(outputs[:, 0], labels)
    if head.startswith("-softmax"):
        losses = functional.cross_entropy(outputs, labels.long(), reduction="none")
        return (weights * losses).mean()
    if head.startswith("-linear"):
        return (weights[:, None] * functional.mse_loss(outputs, labels, reduction="none")).mean()
    return functional.binary_cross_entropy_with_logits(outputs[:, 0], labels, weight=weights)


def labels_of(head: str, rng: np.random.Generator) -> Floats:
    """Random labels; times and events are such that some tie."""
    if head == "-cox":
        return np.stack([rng.integers(1, 4, ROWS), [1, 1, 0, 1, 0, 1]], axis=1).astype(float)
    if head == "-linear2":
        return rng.normal(size=(ROWS, 2)).round(2)
    return rng.integers(0, 4 if head else 2, ROWS).astype(float)


def make_case(activation: str, head: str, rng: np.random.Generator) -> dict[str, Any]:
    """One network with random parameters, and PyTorch's loss and gradient of it."""
    import torch

    start = build_network(name_of(activation, head), FEATURES).initial_parameters(rng)
    parameters = {name: rng.normal(size=values.shape).round(2) for name, values in start.items()}
    features, labels = rng.normal(size=(ROWS, FEATURES)).round(2), labels_of(head, rng)
    weights = np.ones(ROWS) if head == "-cox" else rng.uniform(0.5, 2.0, ROWS).round(2)
    theirs = {name: torch.tensor(values, requires_grad=True) for name, values in parameters.items()}
    value = torch.tensor(features)
    for layer in range(3):
        value = value @ theirs[f"matrix{layer}"]
        if f"bias{layer}" in theirs:
            value = value + theirs[f"bias{layer}"]
        if layer < 2:
            value = getattr(torch, activation)(value)
    loss = loss_of(head, value, torch.tensor(labels), torch.tensor(weights))
    loss.backward()
    return {
        "model": name_of(activation, head),
        "parameters": {name: values.tolist() for name, values in parameters.items()},
        "features": features.tolist(),
        "labels": labels.tolist(),
        "weights": weights.tolist(),
        "loss": loss.item(),
        "gradient": {name: tensor.grad.tolist() for name, tensor in theirs.items()},
    }


def make_walk(
    walk: tuple[str, float, str, dict[str, Any]], rng: np.random.Generator
) -> dict[str, Any]:
    """Where an optimizer of PyTorch goes from a random point along random gradients."""
    import torch

    text, momentum, name, options = walk
    start, gradients = rng.normal(size=2).round(2), rng.normal(size=(STEPS, 2)).round(2)
    point = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, name)([point], lr=RATE, **options)
    points = []
    for gradient in gradients:
        point.grad = torch.tensor(gradient)
        optimizer.step()
        points.append(point.tolist())
    return {
        "optimizer": text,
        "momentum": momentum,
        "start": start.tolist(),
        "gradients": gradients.tolist(),
        "points": points,
    }


def main() -> None:
    import torch

    rng = np.random.default_rng(SEED)
    made = {
        "torch": torch.__version__,
        "cases": [make_case(*each, rng) for each in product(ACTIVATIONS, HEADS)],
        "walks": [make_walk(each, rng) for each in WALKS],
    }
    VECTORS.write_text(json.dumps(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
