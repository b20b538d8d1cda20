"""Losses, gradients and steps are PyTorch's, as it was recorded (`tests/support/pytorch.py`)."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from fednode.learning.local_terms import read_local_terms
from fednode.learning.models import build_network
from fednode.learning.optimizers import Memory
from tests.fednode.learning.builders import SETTINGS
from tests.support.pytorch import ACTIVATIONS, HEADS, RATE, VECTORS, WALKS, name_of

RECORDED = json.loads(VECTORS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: str(case["model"]))
def test_loss_and_gradient_are_pytorchs(case: dict[str, Any]) -> None:
    network = build_network(case["model"], len(case["features"][0]))
    parameters = {name: np.array(values) for name, values in case["parameters"].items()}
    features, labels = np.array(case["features"]), np.array(case["labels"])
    weights = None if case["model"].endswith("cox") else np.array(case["weights"])

    loss = network.loss(parameters, features, labels, weights)
    gradient = network.gradient(parameters, features, labels, weights)

    assert loss == pytest.approx(case["loss"], rel=1e-12)
    assert list(gradient) == list(case["gradient"])
    for name, values in case["gradient"].items():
        np.testing.assert_allclose(gradient[name], values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "walk", RECORDED["walks"], ids=lambda walk: f"{walk['optimizer']} {walk['momentum']}"
)
def test_steps_are_pytorchs(walk: dict[str, Any]) -> None:
    optimizer = read_local_terms(
        replace(
            SETTINGS,
            optimizer=walk["optimizer"],
            momentum=walk["momentum"],
            learning_rate=RATE,
        )
    ).optimizer
    values, memory, points = np.array(walk["start"]), Memory(), []

    for count, gradient in enumerate(walk["gradients"], start=1):
        values, memory = optimizer.step(values, np.array(gradient), memory, count)
        points.append(values)

    np.testing.assert_allclose(points, walk["points"], rtol=1e-12)


def test_no_activation_head_or_optimizer_is_missing_from_the_comparison() -> None:
    models = [case["model"] for case in RECORDED["cases"]]
    texts = [(walk["optimizer"], walk["momentum"]) for walk in RECORDED["walks"]]

    assert models == [name_of(*each) for each in product(ACTIVATIONS, HEADS)]
    assert texts == [(text, momentum) for text, momentum, *_ in WALKS]
