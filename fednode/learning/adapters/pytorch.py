"""Any `torch.nn.Module` as a learner: `MyLearner = torch_learner(build)`.

What is shared, averaged and in the contract: the module's parameters that require a gradient, in
the order of `state_dict` and under their names there; tied ones once, under their first name. They
may be of any floating type; they travel as multiples of 2^-16.

What stays with the member: buffers of every type, such as BatchNorm's running statistics and its
count of batches, and parameters without a gradient. They are as `build` made them, which must be
the same at all members, until training changes them; nobody else learns them, and a training
process that starts again starts them again. Updates do not depend on running statistics, since
training normalises by the batch; figures do, so GroupNorm or LayerNorm is the better choice.

Steps are those of the built-in models: optimizer, proximal term, class weights, early stopping and
batches are the contract's. Random numbers of the module, such as dropout's, follow from the
contract's seed, the member and the training round. On a CPU the same training round gives the same
update again; CUDA does not promise that.

References:
    Li et al., "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", ICLR
    2021, keeps all of BatchNorm local. Here only its running statistics are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.errors import SettingsError
from fednode.learning.heads import Head, Logistic
from fednode.learning.learner import (
    EvaluationContext,
    FitContext,
    FitResult,
    Learner,
    Metrics,
    Parameters,
    RowSet,
    TrainingSettings,
)
from fednode.learning.learner_file import LearnerFactory
from fednode.learning.local_steps import Augment
from fednode.learning.network_learner import NetworkLearner, build_network_learner

if TYPE_CHECKING:
    import torch

Floats: TypeAlias = NDArray[np.float64]
Build: TypeAlias = "Callable[[int], torch.nn.Module]"
"""Makes the module for a number of features; each row comes to it as one flat vector."""
SEED_END: Final = 2**63


def torch_learner(
    build: "Build",
    *,
    head: Head | None = None,
    augment: Augment | None = None,
    device: str = "cpu",
) -> LearnerFactory:
    """Return what makes a learner of a module, to be named in a learner file.

    Args:
        build: Makes the module; its outputs have shape (n, head.outputs), or (n,) for one.
        head: What outputs mean, and the loss; two classes by one output if left out.
        augment: Changes the features of each batch before they are trained on.
        device: As torch names it.
    """

    def make(
        settings: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
    ) -> Learner:
        network = TorchNetwork(
            build=lambda: build(n_features).to(device),
            module=build(n_features).to(device),
            head=head or Logistic(),
        )
        network.check()
        return TorchLearner(plain=build_network_learner(network, settings, data, augment))

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchLearner:
    """A `NetworkLearner` whose module draws its random numbers from the context's generator."""

    plain: NetworkLearner

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return what the module's constructor draws."""
        return self.plain.initial_parameters(rng)

    def fit(self, parameters: Parameters, context: FitContext) -> FitResult:
        """Train as the built-in models do."""
        with _seeded(context.rng):
            return self.plain.fit(parameters, context)

    def evaluate(self, parameters: Parameters, context: EvaluationContext) -> Metrics:
        """Return the figures of the head's task."""
        return self.plain.evaluate(parameters, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchNetwork:
    """A module whose parameters come and go as arrays; implements `Trainable`.

    Attributes:
        build: Makes such a module; its parameters are drawn when initial ones are asked for.
        module: The one that trains.
        head: What its outputs mean.
    """

    build: "Callable[[], torch.nn.Module]"
    module: "torch.nn.Module"
    head: Head

    def check(self) -> None:
        """Check that the module has something to train, of types that can travel.

        Raises:
            SettingsError: If it has not.
        """
        trained = _trained(self.module)
        if not trained:
            raise SettingsError("expected a module with parameters that require a gradient")
        for name, values in trained.items():
            if not values.is_floating_point():
                raise SettingsError(
                    f"expected parameters of a floating type, got {values.dtype} for {name!r}"
                )

    def initial_parameters(self, rng: np.random.Generator) -> Parameters:
        """Return what `build` draws for the parameters, seeded from `rng`."""
        with _seeded(rng):
            return {name: _array(values) for name, values in _trained(self.build()).items()}

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Return the head's prediction, in evaluation mode."""
        return self.head.predict(self._outputs(parameters, features))

    def loss(
        self,
        parameters: Parameters,
        features: Floats,
        labels: Floats,
        weights: Floats | None = None,
    ) -> float:
        """Return the head's mean loss, in evaluation mode."""
        return self.head.loss(self._outputs(parameters, features), labels, weights)

    def gradient(
        self,
        parameters: Parameters,
        features: Floats,
        labels: Floats,
        weights: Floats | None = None,
    ) -> Parameters:
        """Return the gradient of the loss in training mode, carried backwards by torch."""
        import torch

        self._load(parameters)
        self.module.train()
        self.module.zero_grad(set_to_none=True)
        outputs = self._forward(features)
        slope = self.head.slope(_array(outputs), labels, weights)
        torch.autograd.backward(
            outputs, torch.as_tensor(slope, dtype=outputs.dtype, device=outputs.device)
        )
        return {
            name: np.zeros(tuple(values.shape)) if values.grad is None else _array(values.grad)
            for name, values in _trained(self.module).items()
        }

    def _outputs(self, parameters: Parameters, features: Floats) -> Floats:
        import torch

        self._load(parameters)
        self.module.eval()
        with torch.no_grad():
            return _array(self._forward(features))

    def _forward(self, features: Floats) -> "torch.Tensor":
        import torch

        first = next(iter(_trained(self.module).values()))
        outputs: torch.Tensor = self.module(
            torch.as_tensor(features, dtype=first.dtype, device=first.device)
        )
        if outputs.ndim == 1:
            outputs = outputs[:, None]
        expected = (len(features), self.head.outputs)
        if tuple(outputs.shape) != expected:
            raise SettingsError(
                f"expected outputs of shape {expected} from the module, got {tuple(outputs.shape)}"
            )
        return outputs

    def _load(self, parameters: Parameters) -> None:
        import torch

        with torch.no_grad():
            for name, values in _trained(self.module).items():
                values.copy_(torch.as_tensor(parameters[name]))


def _trained(module: "torch.nn.Module") -> "dict[str, torch.nn.Parameter]":
    return {name: values for name, values in module.named_parameters() if values.requires_grad}


def _array(values: "torch.Tensor") -> Floats:
    import torch

    # A copy: what the module does next must not change it.
    return np.array(values.detach().to("cpu", torch.float64).numpy())


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    import torch

    # A child of the generator: batches are then drawn as if there were no module.
    seed = int(rng.spawn(1)[0].integers(SEED_END))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
