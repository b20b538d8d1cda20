"""Find a model by its name: a built-in network, or a learner that the member brings."""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.fixedpoint import flatten
from fednode.learning.dataset import Dataset
from fednode.learning.initial_process import own_initial_model
from fednode.learning.learner import Learner, RowSet, TrainingSettings
from fednode.learning.learner_file import NO_CODE, OwnCode, code_hash
from fednode.learning.models import build_network, is_built_in, parse_architecture, tensor_table
from fednode.learning.network_learner import build_network_learner
from fednode.learning.own_learner import build_own
from ledger.tensors import TensorSpec


def build_learner(
    settings: TrainingSettings,
    n_features: int,
    data: Mapping[RowSet, Dataset],
    code: OwnCode = NO_CODE,
) -> Learner:
    """Return the learner that `settings.model` names, over the member's rows.

    A name with a colon is a member's own learner, whose code is run here: no process of a node but
    the one that trains calls this for it.

    Args:
        settings: Of the contract.
        n_features: Inputs per row.
        data: Empty where only initial parameters are wanted.
        code: Where a member's own learner is.

    Raises:
        SettingsError: If there is no such model, a built-in one cannot be trained as the settings
            say, or the code of an own learner is not the contract's or cannot run.
        DataError: If labels are not those that a built-in model learns from.
    """
    if not is_built_in(settings.model):
        return build_own(settings, n_features, data, code)
    return build_network_learner(build_network(settings.model, n_features), settings, data)


def initial_model(
    settings: TrainingSettings, n_features: int, seed: int, code: OwnCode = NO_CODE
) -> tuple[tuple[TensorSpec, ...], NDArray[np.int32]]:
    """Return the tensor table and the quantized parameters from which a network starts.

    Raises:
        SettingsError: If there is no such model, or a member's own learner gives none.
    """
    if not is_built_in(settings.model):
        return own_initial_model(settings, n_features, seed, code)
    learner = build_learner(settings, n_features, {})
    parameters = learner.initial_parameters(np.random.default_rng(seed))
    tensors = tensor_table(parameters)
    return tensors, flatten(parameters, tensors)


def learner_hash(model: str, code: OwnCode = NO_CODE) -> bytes:
    """Return the 32-byte hash that binds a contract to a learner's code (rule P1).

    Of a built-in model it covers the name, of a member's own learner the bytes of its file.

    Raises:
        SettingsError: If there is no such model, file or module.
    """
    if not is_built_in(model):
        return code_hash(model, code.file)
    parse_architecture(model)  # refuses a name that nothing has
    return sha256(f"fednode/learner/1/{model}".encode()).digest()
