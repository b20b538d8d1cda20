"""The same losses, gradients and steps as PyTorch, where it is installed."""

from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import pytest

from fednode.learning.heads import Floats
from fednode.learning.models import build_network
from fednode.learning.optimizers import Adam, Memory, Optimizer, Sgd

Tensor: TypeAlias = Any
"""One of PyTorch, whose types are not there where it is not installed."""
ROWS, FEATURES, STEPS = 16, 4, 12


def efron(torch: ModuleType, hazard: Tensor, labels: Tensor) -> Tensor:
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


def reference_loss(
    torch: ModuleType, model: str, outputs: Tensor, labels: Floats, weights: Floats | None
) -> Tensor:
    function = torch.nn.functional
    if model.endswith("cox"):
        return efron(torch, outputs[:, 0], torch.tensor(labels))
    factor = torch.ones(ROWS) if weights is None else torch.tensor(weights)
    if "softmax" in model:
        losses = function.cross_entropy(outputs, torch.tensor(labels).long(), reduction="none")
        return (factor * losses).mean()
    if "linear" in model:
        target = torch.tensor(labels).reshape(outputs.shape)
        losses = function.mse_loss(outputs, target, reduction="none")
        return (factor[:, None] * losses).mean()
    return function.binary_cross_entropy_with_logits(
        outputs[:, 0], torch.tensor(labels), weight=factor
    )


def labels_of(model: str, rng: np.random.Generator) -> Floats:
    if model.endswith("cox"):
        return np.stack([rng.integers(1, 6, ROWS), rng.integers(0, 2, ROWS)], axis=1).astype(float)
    if "linear" in model:
        return rng.normal(size=(ROWS, 3))
    return rng.integers(0, 5 if "softmax" in model else 2, ROWS).astype(float)


@pytest.mark.parametrize("weighing", ["rows alike", "rows apart"])
@pytest.mark.parametrize("head", ["", "-softmax5", "-linear3", "-cox"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_loss_and_gradient_are_pytorchs(
    torch: ModuleType, activation: str, head: str, weighing: str, seed: int
) -> None:
    model = "mlp-6-5" + (f"-{activation}" if activation != "relu" else "") + head
    network, rng = build_network(model, FEATURES), np.random.default_rng(seed)
    start = network.initial_parameters(rng)
    parameters = {name: rng.normal(size=values.shape) for name, values in start.items()}
    features, labels = rng.normal(size=(ROWS, FEATURES)), labels_of(model, rng)
    weights = rng.uniform(0.5, 2.0, ROWS) if weighing == "rows apart" and head != "-cox" else None
    theirs = {name: torch.tensor(values, requires_grad=True) for name, values in parameters.items()}
    value = torch.tensor(features)
    for layer in range(3):
        value = value @ theirs[f"matrix{layer}"]
        if f"bias{layer}" in theirs:
            value = value + theirs[f"bias{layer}"]
        if layer < 2:
            value = getattr(torch, activation)(value)
    expected = reference_loss(torch, model, value, labels, weights)
    expected.backward()

    loss = network.loss(parameters, features, labels, weights)
    gradient = network.gradient(parameters, features, labels, weights)

    assert loss == pytest.approx(expected.item(), rel=1e-10)
    for name, tensor in theirs.items():
        np.testing.assert_allclose(gradient[name], tensor.grad.numpy(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (Sgd(learning_rate=0.1), "SGD", {"lr": 0.1}),
        (Sgd(learning_rate=0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
        (Adam(learning_rate=0.1), "Adam", {"lr": 0.1}),
        (
            Adam(learning_rate=0.1, beta1=0.8, beta2=0.95, epsilon=1e-3),
            "Adam",
            {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3},
        ),
        (Adam(learning_rate=0.1, decay=0.3), "AdamW", {"lr": 0.1, "weight_decay": 0.3}),
    ],
)
def test_steps_are_pytorchs(
    torch: ModuleType, ours: Optimizer, theirs: str, options: dict[str, Any], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values, memory = rng.normal(size=(3, 2)), Memory()
    tensor = torch.tensor(values, requires_grad=True)
    optimizer = getattr(torch.optim, theirs)([tensor], **options)

    for count in range(1, STEPS + 1):
        gradient = rng.normal(size=(3, 2))
        values, memory = ours.step(values, gradient, memory, count)
        tensor.grad = torch.tensor(gradient)
        optimizer.step()

        np.testing.assert_allclose(values, tensor.detach().numpy(), rtol=1e-10, atol=1e-12)
