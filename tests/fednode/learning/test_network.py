"""Gradients against finite differences for every head and activation, and far from zero."""

import numpy as np
import pytest

from fednode.learning.cox import PartialLikelihood
from fednode.learning.errors import DataError
from fednode.learning.heads import Floats, Head, Logistic, Softmax, SquaredError
from fednode.learning.layers import logistic
from fednode.learning.learner import Parameters
from fednode.learning.network import Network

ROWS, FEATURES = 12, 3
HEADS: dict[str, Head] = {
    "logistic": Logistic(),
    "softmax": Softmax(outputs=4),
    "linear": SquaredError(outputs=1),
    "steps": SquaredError(outputs=3),
    "cox": PartialLikelihood(),
}


def labels_for(name: str, rng: np.random.Generator) -> Floats:
    if name == "logistic":
        return rng.integers(0, 2, ROWS).astype(float)
    if name == "softmax":
        return rng.integers(0, 4, ROWS).astype(float)
    if name == "cox":
        # Few distinct times, so that events tie with each other and with censored rows.
        return np.stack([rng.integers(1, 5, ROWS), rng.integers(0, 2, ROWS)], axis=1).astype(float)
    return rng.normal(size=ROWS if name == "linear" else (ROWS, 3))


def numeric_gradient(
    network: Network,
    parameters: Parameters,
    batch: tuple[Floats, Floats, Floats | None],
    step: float = 1e-6,
) -> Parameters:
    slopes: Parameters = {}
    for name, values in parameters.items():
        slopes[name] = np.zeros_like(values)
        for place in np.ndindex(values.shape):
            losses = []
            for sign in (1.0, -1.0):
                moved = {key: each.copy() for key, each in parameters.items()}
                moved[name][place] += sign * step
                losses.append(network.loss(moved, *batch))
            slopes[name][place] = (losses[0] - losses[1]) / (2.0 * step)
    return slopes


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)])
@pytest.mark.parametrize("name", list(HEADS))
def test_gradient_is_that_of_finite_differences(
    name: str, hidden: tuple[int, ...], activation: str, seed: int
) -> None:
    head = HEADS[name]
    network = Network(sizes=(FEATURES, *hidden, head.outputs), head=head, activation=activation)
    rng = np.random.default_rng(seed)
    start = network.initial_parameters(rng)
    parameters = {key: rng.normal(size=values.shape) for key, values in start.items()}
    features, labels = rng.normal(size=(ROWS, FEATURES)), labels_for(name, rng)
    has_weights = name != "cox"

    for weights in (None, rng.uniform(0.5, 2.0, ROWS))[: 1 + has_weights]:
        gradient = network.gradient(parameters, features, labels, weights)

        assert list(gradient) == list(parameters)
        expected = numeric_gradient(network, parameters, (features, labels, weights))
        for key in parameters:
            np.testing.assert_allclose(gradient[key], expected[key], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", list(HEADS))
def test_loss_slope_and_prediction_stay_finite_far_from_zero(name: str) -> None:
    head = HEADS[name]
    rng = np.random.default_rng(0)
    labels = labels_for(name, rng)
    outputs = 1e4 * rng.normal(size=(ROWS, head.outputs))

    with np.errstate(all="raise", under="ignore"):
        loss, slope = head.loss(outputs, labels, None), head.slope(outputs, labels, None)
        prediction = head.predict(outputs)

    assert loss > 1e3
    assert np.isfinite(slope).all()
    assert np.isfinite(prediction).all()


def test_loss_of_a_certain_mistake_is_its_margin() -> None:
    head, outputs = Logistic(), np.array([[1e6], [-1e6]])

    assert head.loss(outputs, np.array([0.0, 1.0]), None) == pytest.approx(1e6)
    assert head.predict(outputs).tolist() == [1.0, 0.0]


def test_logistic_function_is_one_half_at_zero_and_symmetric() -> None:
    values = logistic(np.array([0.0, 2.0, -2.0]))

    assert values[0] == 0.5
    assert values[1] + values[2] == pytest.approx(1.0)
    assert values[1] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_softmax_of_two_classes_is_the_logistic_model() -> None:
    margin = np.array([0.3, -2.0, 5.0])
    labels = np.array([1.0, 0.0, 0.0])
    outputs = np.stack([np.zeros(3), margin], axis=1)

    two, one = Softmax(outputs=2), Logistic()

    assert two.predict(outputs)[:, 1] == pytest.approx(one.predict(margin[:, np.newaxis]))
    assert two.loss(outputs, labels, None) == pytest.approx(
        one.loss(margin[:, np.newaxis], labels, None)
    )


def test_row_weights_of_two_count_a_row_twice() -> None:
    outputs, labels = np.array([[0.5], [-1.0]]), np.array([1.0, 0.0])
    head = Logistic()

    weighted = head.loss(outputs, labels, np.array([2.0, 1.0])) * 2
    repeated = head.loss(outputs[[0, 0, 1]], labels[[0, 0, 1]], None) * 3

    assert weighted == pytest.approx(repeated)


@pytest.mark.parametrize(
    ("name", "labels", "complaint"),
    [
        ("logistic", [[0.0], [1.0]], r"shape \(n,\), got \(2, 1\)"),
        ("logistic", [0.0, 2.0], "classes 0 to 1 as labels, got 2"),
        ("softmax", [0.0, 4.0], "classes 0 to 3 as labels, got 4"),
        ("softmax", [0.5], "classes 0 to 3 as labels, got 0.5"),
        ("softmax", [-1.0], "classes 0 to 3 as labels, got -1"),
        ("softmax", [np.nan], "classes 0 to 3 as labels, got nan"),
        ("linear", [[1.0]], r"shape \(1,\), got \(1, 1\)"),
        ("linear", [1.0, np.inf], "finite numbers as labels"),
        ("steps", [1.0, 2.0], r"shape \(2, 3\), got \(2,\)"),
        ("steps", [[1.0, 2.0]], r"shape \(1, 3\), got \(1, 2\)"),
        ("cox", [1.0], r"shape \(n, 2\), time and event, got \(1,\)"),
        ("cox", [[-1.0, 1.0]], "times of 0 or more"),
        ("cox", [[np.nan, 1.0]], "times of 0 or more"),
        ("cox", [[1.0, 2.0]], "1 for an event and 0 for none"),
    ],
)
def test_labels_of_another_task_are_refused(name: str, labels: list[float], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        HEADS[name].check_labels(np.array(labels))


@pytest.mark.parametrize("name", list(HEADS))
def test_labels_of_the_task_are_accepted(name: str) -> None:
    HEADS[name].check_labels(labels_for(name, np.random.default_rng(0)))
