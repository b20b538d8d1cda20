import numpy as np
import pytest

from fednode.learning.cox import PartialLikelihood
from fednode.learning.errors import SettingsError
from fednode.learning.heads import Head, Logistic, Softmax, SquaredError
from fednode.learning.models import build_network, is_built_in, parse_architecture, tensor_table


@pytest.mark.parametrize(
    ("name", "sizes", "head"),
    [
        ("logistic", (5, 1), Logistic()),
        ("softmax10", (5, 10), Softmax(outputs=10)),
        ("linear", (5, 1), SquaredError(outputs=1)),
        ("linear3", (5, 3), SquaredError(outputs=3)),
        ("autoregression7", (5, 7), SquaredError(outputs=7)),
        ("cox", (5, 1), PartialLikelihood()),
        ("mlp", (5, 64, 32, 1), Logistic()),
        ("mlp-softmax10", (5, 64, 32, 10), Softmax(outputs=10)),
        ("mlp-16-8-4-linear2", (5, 16, 8, 4, 2), SquaredError(outputs=2)),
        ("mlp-128-cox", (5, 128, 1), PartialLikelihood()),
    ],
)
def test_a_name_says_layers_and_head(name: str, sizes: tuple[int, ...], head: Head) -> None:
    network = build_network(name, 5)

    assert (network.sizes, network.head) == (sizes, head)
    assert (network.activation, network.initialisation) == ("relu", "uniform")
    assert network.repeats_last == name.startswith("autoregression")


@pytest.mark.parametrize("activation", ["", "-sigmoid", "-tanh"])
@pytest.mark.parametrize("initialisation", ["", "-gaussian"])
@pytest.mark.parametrize("sizes", ["", "-16", "-16-4"])
@pytest.mark.parametrize("head", ["", "-softmax3", "-linear", "-cox"])
def test_every_combination_has_the_name_that_it_is_read_from(
    sizes: str, activation: str, initialisation: str, head: str
) -> None:
    name = f"mlp{sizes}{activation}{initialisation}{head}"

    made = parse_architecture(name)

    assert made.name == name
    assert made.activation == (activation.removeprefix("-") or "relu")
    assert made.initialisation == (initialisation.removeprefix("-") or "uniform")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("mlp-64-32", "mlp"),
        ("mlp-relu", "mlp"),
        ("mlp-8-uniform-logistic", "mlp-8"),
        ("linear1", "linear"),
        ("autoregression", "autoregression1"),
        ("mlp-", "mlp"),
    ],
)
def test_another_spelling_of_a_model_is_refused_with_the_right_one(
    name: str, canonical: str
) -> None:
    with pytest.raises(SettingsError, match=f"{name}' is written '{canonical}'"):
        build_network(name, 3)


@pytest.mark.parametrize(
    "name",
    [
        "", "forest", "softmax", "softmax1", "logistic3", "cox2", "mlp-0", "mlp-064", "mlp8",
        "mlp-tanh-sigmoid", "mlp-gaussian-tanh", "mlp-autoregression7", "MLP", "logistic-tanh",
        "softmax99999", "mlp-8\n",
    ],
)  # fmt: skip
def test_an_unknown_model_is_refused_with_examples(name: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no model .*choose one as logistic, softmax"):
        build_network(name, 3)


def test_a_name_with_a_colon_is_a_learner_of_ones_own() -> None:
    assert [is_built_in(name) for name in ("mlp", "package.module:make")] == [True, False]


def test_linear_models_start_from_zero() -> None:
    parameters = build_network("logistic", 4).initial_parameters(np.random.default_rng(1))

    assert {name: values.shape for name, values in parameters.items()} == {
        "matrix0": (4, 1),
        "bias0": (1,),
    }
    assert not any(values.any() for values in parameters.values())


def test_autoregression_starts_by_repeating_the_last_value() -> None:
    network = build_network("autoregression3", 4)
    parameters = network.initial_parameters(np.random.default_rng(1))

    steps = network.predict(parameters, np.array([[1.0, 2.0, 3.0, 4.0]]))

    assert steps.tolist() == [[4.0, 4.0, 4.0]]


def test_a_hazard_model_has_no_bias_for_its_output() -> None:
    parameters = build_network("mlp-8-cox", 4).initial_parameters(np.random.default_rng(1))

    assert list(parameters) == ["matrix0", "bias0", "matrix1"]


def test_perceptron_has_64_and_32_hidden_units_within_glorots_limits() -> None:
    parameters = build_network("mlp", 30).initial_parameters(np.random.default_rng(1))

    shapes = [parameters[f"matrix{layer}"].shape for layer in range(3)]
    largest = np.abs(parameters["matrix0"]).max()
    assert shapes == [(30, 64), (64, 32), (32, 1)]
    assert 0.9 * np.sqrt(6 / 94) < largest <= np.sqrt(6 / 94)
    assert not parameters["bias1"].any()


def test_gaussian_initialisation_has_glorots_variance() -> None:
    network = build_network("mlp-200-gaussian", 300)

    matrix = network.initial_parameters(np.random.default_rng(1))["matrix0"]

    assert matrix.std() == pytest.approx(np.sqrt(2 / 500), rel=0.02)
    assert np.abs(matrix).max() > np.sqrt(6 / 500)


def test_initial_parameters_depend_on_the_seed_alone() -> None:
    network = build_network("mlp", 5)

    first, same, other = (
        network.initial_parameters(np.random.default_rng(seed))["matrix1"] for seed in (3, 3, 4)
    )

    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_tensor_table_keeps_the_order_of_the_parameters() -> None:
    parameters = build_network("mlp", 2).initial_parameters(np.random.default_rng(0))

    table = tensor_table(parameters)

    assert [(spec.name, spec.shape, spec.exponent) for spec in table][:2] == [
        ("matrix0", (2, 64), 16),
        ("bias0", (64,), 16),
    ]
