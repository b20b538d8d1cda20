import numpy as np
import pytest

from fednode.learning.errors import SettingsError
from fednode.learning.learner import Parameters
from fednode.learning.models import Network, build_network, logistic, tensor_table
from tests.fednode.learning.builders import separable


def numeric_gradient(
    network: Network, parameters: Parameters, name: str, step: float = 1e-6
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    rows = separable()
    slopes = np.zeros_like(parameters[name])
    for place in np.ndindex(slopes.shape):
        losses = []
        for sign in (1.0, -1.0):
            moved = {key: values.copy() for key, values in parameters.items()}
            moved[name][place] += sign * step
            losses.append(network.loss(moved, rows.features, rows.labels))
        slopes[place] = (losses[0] - losses[1]) / (2.0 * step)
    return slopes


@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
def test_gradient_is_that_of_finite_differences(hidden: tuple[int, ...], seed: int) -> None:
    network = Network(sizes=(3, *hidden, 1))
    rng = np.random.default_rng(seed)
    start = network.initial_parameters(rng)
    parameters = {name: rng.normal(size=values.shape) for name, values in start.items()}
    rows = separable()

    gradient = network.gradient(parameters, rows.features, rows.labels)

    assert list(gradient) == list(parameters)
    for name in parameters:
        expected = numeric_gradient(network, parameters, name)
        np.testing.assert_allclose(gradient[name], expected, rtol=1e-5, atol=1e-7)


def test_logistic_regression_starts_from_zero() -> None:
    parameters = build_network("logistic", 4).initial_parameters(np.random.default_rng(1))

    assert {name: values.shape for name, values in parameters.items()} == {
        "matrix0": (4, 1),
        "bias0": (1,),
    }
    assert not any(values.any() for values in parameters.values())


def test_perceptron_has_64_and_32_hidden_units_within_glorots_limits() -> None:
    parameters = build_network("mlp", 30).initial_parameters(np.random.default_rng(1))

    shapes = [parameters[f"matrix{layer}"].shape for layer in range(3)]
    largest = np.abs(parameters["matrix0"]).max()
    assert shapes == [(30, 64), (64, 32), (32, 1)]
    assert 0.9 * np.sqrt(6 / 94) < largest <= np.sqrt(6 / 94)
    assert not parameters["bias1"].any()


def test_initial_parameters_depend_on_the_seed_alone() -> None:
    network = build_network("mlp", 5)

    first, same, other = (
        network.initial_parameters(np.random.default_rng(seed))["matrix1"] for seed in (3, 3, 4)
    )

    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_loss_and_prediction_stay_finite_far_from_zero() -> None:
    network = Network(sizes=(1, 1))
    parameters = {"matrix0": np.array([[256.0]]), "bias0": np.zeros(1)}
    features = np.array([[1e4], [-1e4]])

    loss = network.loss(parameters, features, np.array([0.0, 1.0]))

    assert loss == pytest.approx(256e4)
    assert network.predict(parameters, features).tolist() == [1.0, 0.0]


def test_logistic_function_is_one_half_at_zero_and_symmetric() -> None:
    values = logistic(np.array([0.0, 2.0, -2.0]))

    assert values[0] == 0.5
    assert values[1] + values[2] == pytest.approx(1.0)
    assert values[1] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_unknown_model_is_refused_with_the_known_names() -> None:
    with pytest.raises(SettingsError, match="no model 'forest': choose one of logistic, mlp"):
        build_network("forest", 3)


def test_tensor_table_keeps_the_order_of_the_parameters() -> None:
    parameters = build_network("mlp", 2).initial_parameters(np.random.default_rng(0))

    table = tensor_table(parameters)

    assert [(spec.name, spec.shape, spec.exponent) for spec in table][:2] == [
        ("matrix0", (2, 64), 16),
        ("bias0", (64,), 16),
    ]
