"""PyTorch modules as learners: what travels, what stays, and the same steps as built-in models."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from fednode.learning.adapters.pytorch import torch_learner
from fednode.learning.dataset import Dataset
from fednode.learning.errors import SettingsError
from fednode.learning.heads import Softmax, SquaredError
from fednode.learning.learner import EvaluationContext, FitContext, Learner, Parameters
from fednode.learning.registry import build_learner
from tests.fednode.learning.builders import SETTINGS, separable

ROWS = EvaluationContext(rows="training")


def context(training_round: int = 1, **changes: object) -> FitContext:
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
    rng = np.random.default_rng([7, 0, training_round])
    return FitContext(training_round=training_round, settings=settings, rng=rng)


def made(build: object, data: Dataset | None = None, **options: object) -> Learner:
    factory = torch_learner(build, **options)  # type: ignore[arg-type]
    rows = data or separable()
    return factory(SETTINGS, rows.features.shape[1], {"training": rows})


def start(learner: Learner, seed: int = 3) -> Parameters:
    return learner.initial_parameters(np.random.default_rng(seed))


@pytest.mark.parametrize("optimizer", ["sgd", "adam,b2=0.99", "adamw,prox=0.1,weights=1:3"])
def test_linear_module_takes_the_steps_of_the_built_in_model(
    torch: ModuleType, optimizer: str
) -> None:
    learner = made(lambda n: torch.nn.Linear(n, 1, dtype=torch.float64))
    built_in = build_learner(SETTINGS, 3, {"training": separable()})
    zero = {"weight": np.zeros((1, 3)), "bias": np.zeros(1)}

    result = learner.fit(zero, context(optimizer=optimizer))

    own = {"matrix0": np.zeros((3, 1)), "bias0": np.zeros(1)}
    expected = built_in.fit(own, context(optimizer=optimizer))
    assert pytest.approx(expected.delta["matrix0"], abs=1e-12) == result.delta["weight"].T
    assert result.delta["bias"] == pytest.approx(expected.delta["bias0"], abs=1e-12)
    assert result.metrics == pytest.approx(expected.metrics)


def test_parameters_have_the_order_and_names_of_the_state_dict(torch: ModuleType) -> None:
    nn = torch.nn

    def build(n: int) -> object:
        return nn.Sequential(nn.Linear(n, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))

    parameters = start(made(build))

    state = build(3).state_dict()  # type: ignore[attr-defined]
    local = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert list(parameters) == [name for name in state if name not in local]
    assert all(values.dtype == np.float64 for values in parameters.values())


def test_buffers_and_frozen_parameters_stay_as_they_are_and_bring_no_update(
    torch: ModuleType,
) -> None:
    nn = torch.nn

    def build(n: int) -> object:
        module = nn.Sequential(nn.Linear(n, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        module[0].requires_grad_(requires_grad=False)
        return module

    learner = made(build)

    result = learner.fit(start(learner), context())

    assert list(result.delta) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert all(values.any() for values in result.delta.values() if values.size > 1)


def test_update_does_not_depend_on_what_the_process_did_before(torch: ModuleType) -> None:
    """A node that starts again sends the update that it would have sent."""
    nn = torch.nn

    def build(n: int) -> object:
        return nn.Sequential(nn.Linear(n, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))

    torch.manual_seed(1)
    used = made(build)
    parameters = start(used)
    used.fit(parameters, context(1))
    torch.manual_seed(99)
    fresh = made(build)

    first, again = used.fit(parameters, context(2)), fresh.fit(start(fresh), context(2))

    assert all((first.delta[name] == again.delta[name]).all() for name in parameters)
    assert any((values != 0).any() for values in first.delta.values())


def test_initial_parameters_follow_from_the_seed_and_leave_the_global_one_alone(
    torch: ModuleType,
) -> None:
    learner = made(lambda n: torch.nn.Linear(n, 1))
    before = torch.random.get_rng_state()

    first, second, other = start(learner), start(learner), start(learner, 4)

    assert (first["weight"] == second["weight"]).all()
    assert (first["weight"] != other["weight"]).any()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_module_of_any_floating_type_learns(torch: ModuleType, dtype: str) -> None:
    learner = made(lambda n: torch.nn.Linear(n, 1, dtype=getattr(torch, dtype)))
    zero = {"weight": np.zeros((1, 3)), "bias": np.zeros(1)}

    result = learner.fit(zero, context(local_steps=100))

    assert result.metrics["accuracy"] > 0.9


def test_convolutions_tell_where_a_bright_pixel_is(torch: ModuleType) -> None:
    nn = torch.nn
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    images = rng.normal(0.0, 0.1, (60, 6, 6))
    images[np.arange(60), 2 * labels, 2 * labels] += 2.0
    rows = Dataset(
        features=images.reshape(60, 36), labels=labels.astype(np.float64), feature_names=()
    )

    def build(n: int) -> object:
        assert n == 36
        return nn.Sequential(
            nn.Unflatten(1, (1, 6, 6)),
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, 3),
        )

    learner = made(build, rows, head=Softmax(outputs=3))

    result = learner.fit(start(learner), context(local_steps=80))

    assert result.metrics["accuracy"] > 0.95


def test_recurrent_network_predicts_the_mean_of_a_window(torch: ModuleType) -> None:
    """Written as users write modules: with a class of their own."""
    source = """
class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = torch.nn.GRU(1, 8, batch_first=True)
        self.output = torch.nn.Linear(8, 1)

    def forward(self, windows):
        return self.output(self.cells(windows[:, :, None])[0][:, -1])
"""
    names: dict[str, type] = {}
    exec(source, {"torch": torch}, names)  # noqa: S102  # not always there
    windows = np.random.default_rng(0).normal(size=(80, 5))
    rows = Dataset(features=windows, labels=windows.mean(axis=1), feature_names=())
    learner = made(lambda _: names["Recurrent"](), rows, head=SquaredError(outputs=1))

    result = learner.fit(
        start(learner), context(local_steps=150, optimizer="adam", learning_rate=0.02)
    )

    assert result.metrics["r2"] > 0.9


def test_modules_that_cannot_train_are_refused(torch: ModuleType) -> None:
    with pytest.raises(SettingsError, match="a module with parameters that require a gradient"):
        made(lambda _: torch.nn.ReLU())
    with pytest.raises(SettingsError, match=r"a floating type, got torch\.complex64 for 'weight'"):
        made(lambda n: torch.nn.Linear(n, 1, dtype=torch.complex64))
    wide = made(lambda n: torch.nn.Linear(n, 2))
    with pytest.raises(SettingsError, match=r"outputs of shape \(8, 1\) .*, got \(8, 2\)"):
        wide.fit(start(wide), context())
