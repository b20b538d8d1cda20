"""Find a model by its name: a built-in network, or a learner that the member brings."""

from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fixedpoint import flatten
from fednode.learning.dataset import Dataset
from fednode.learning.errors import SettingsError
from fednode.learning.heads import Head, Task
from fednode.learning.learner import Learner, RowSet, TrainingSettings
from fednode.learning.local_terms import read_local_terms
from fednode.learning.models import build_network, is_built_in, parse_architecture, tensor_table
from fednode.learning.network_learner import NetworkLearner
from ledger.tensors import TensorSpec


def build_learner(
    settings: TrainingSettings, n_features: int, data: Mapping[RowSet, Dataset]
) -> Learner:
    """Return the learner that `settings.model` names, over the member's rows.

    A name with a colon is `package.module:factory`; the factory is called with these arguments.
    `data` is empty where only initial parameters are wanted.

    Raises:
        SettingsError: If there is no such model, module or factory, or a built-in model cannot be
            trained as the settings say.
        DataError: If labels are not those that a built-in model learns from.
    """
    if is_built_in(settings.model):
        network = build_network(settings.model, n_features)
        _check_class_weights(settings, network.head)
        for rows in data.values():
            network.head.check_labels(rows.labels)
        return NetworkLearner(network=network, data=data)
    module, _, name = settings.model.partition(":")
    try:
        factory = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"cannot load the learner {settings.model!r}: {error}") from error
    learner: Learner = factory(settings, n_features, data)
    return learner


def initial_model(
    settings: TrainingSettings, n_features: int, seed: int
) -> tuple[tuple[TensorSpec, ...], NDArray[np.int32]]:
    """Return the tensor table and the quantized parameters from which a network starts.

    Raises:
        SettingsError: If there is no such model.
    """
    learner = build_learner(settings, n_features, {})
    parameters = learner.initial_parameters(np.random.default_rng(seed))
    tensors = tensor_table(parameters)
    return tensors, flatten(parameters, tensors)


def learner_hash(model: str) -> bytes:
    """Return the 32-byte hash that binds a contract to a learner's code (rule P1).

    Of a built-in model it covers the name, of a member's own learner the source of its module.

    Raises:
        SettingsError: If there is no such model or module.
    """
    if is_built_in(model):
        parse_architecture(model)
        return sha256(f"fednode/learner/1/{model}".encode()).digest()
    module = model.partition(":")[0]
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise SettingsError(f"there is no model or learner module {module!r}")
    return sha256(Path(spec.origin).read_bytes()).digest()


def _check_class_weights(settings: TrainingSettings, head: Head) -> None:
    weights = read_local_terms(settings).class_weights
    classes = {Task.BINARY: 2, Task.CLASSES: head.outputs}.get(head.task, 0)
    if weights and len(weights) != classes:
        raise SettingsError(
            f"the optimizer {settings.optimizer!r} has {len(weights)} class weights, the model "
            f"{settings.model!r} {classes} classes: give one for each class"
        )
