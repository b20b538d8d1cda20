"""The model a network starts from: made from a seed, or left by an earlier chain (rule P1)."""

from dataclasses import dataclass, replace
from pathlib import Path

from fednode.errors import ConfigError
from fednode.founding.genesis_files import read_public_file
from fednode.learning.learner import TrainingSettings
from fednode.learning.learner_file import NO_CODE, OwnCode
from fednode.learning.models import is_built_in
from fednode.learning.registry import initial_model
from ledger.bodies import body_id, decode_model_body, encode_model_body
from ledger.continuation import continues_after, models_left
from ledger.errors import DecodeError
from ledger.genesis import Continues, Contract, DataTerms, ModelTerms, chain_id
from ledger.model_file import ModelFile, decode_model_file, encode_model_file, origin_metadata
from ledger.state import State
from ledger.tensors import TensorTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What a new network takes over from an earlier chain.

    Attributes:
        model: Architecture and tensor table of its model.
        data: Label, features, and how each is standardised: what the values of the model mean.
        named: The block after which the new chain goes on, and the model.
        file: The model as a file, for every founder.
    """

    model: ModelTerms
    data: DataTerms
    named: Continues
    file: bytes


def take_over(contract: Contract, state: State, file: bytes) -> Earlier:
    """Return what a new network takes over from a chain that an audit found nothing wrong with.

    Args:
        contract: The earlier chain's.
        state: The state after its last block.
        file: The model, as `fednode model export` writes it.

    Raises:
        ConfigError: If there is no block, or the chain did not end with this model.
    """
    if not state.height:
        raise ConfigError(
            "expected a ledger with a block to continue from, got an empty one; found a network "
            "that starts anew, or name the ledger of another member"
        )
    model = _read_model(file, "the model to continue from").model_id
    models = models_left(contract, state)
    if model not in models:
        names = " or ".join(sorted({each.hex()[:16] for each in models}))
        raise ConfigError(
            f"expected the model with which the earlier network ended, {names}, got "
            f"{model.hex()[:16]}; export it with 'fednode model export'"
        )
    return Earlier(
        model=contract.model,
        data=contract.data,
        named=continues_after(state, model),
        file=file,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a new network's training starts, as its founders choose.

    Attributes:
        code: Where the members' own learner is.
        file: A model file; None for the parameters that follow from the seed.
    """

    code: OwnCode = NO_CODE
    file: Path | None = None


def model_terms(
    settings: TrainingSettings, n_features: int, start: Start, earlier: Earlier | None
) -> ModelTerms:
    """Return the model of a new contract: from the seed, unless a file or earlier network has it.

    Raises:
        ConfigError: If the earlier network or the file has another model than the one chosen.
        SettingsError: If there is no such model.
    """
    tensors, body = _seeded_body(settings, n_features, start.code)
    initial_id = body_id(body)
    if start.file is not None:
        given = _read_model(read_public_file(start.file, "the initial model"), str(start.file))
        if given.tensors != tensors:
            raise ConfigError(
                f"{start.file}: expected a model with the tensors of {settings.model!r}, "
                f"{_shapes(tensors)}, got {_shapes(given.tensors)}; choose its --model or --learner"
            )
        initial_id = given.model_id
    if earlier is not None:
        if (settings.model, tensors) != (earlier.model.architecture, earlier.model.tensors):
            raise ConfigError(
                f"expected the model of the earlier network, {earlier.model.architecture!r} with "
                f"its tensors, got {settings.model!r}; leave --model out, and install the version "
                "of the learner that it used"
            )
        initial_id = earlier.named.model_id
    return ModelTerms(
        architecture=settings.model,
        tensors=tensors,
        initial_seed=settings.seed,
        initial_model_id=initial_id,
    )


def initial_model_body(contract: Contract, file: Path) -> bytes:
    """Return the body of the model from which a contract's training starts.

    No code of a member's own learner is run: then the founders' file has the model.

    Args:
        contract: The founders'.
        file: Where the model is, if the contract continues an earlier chain, names an own learner
            or was made to start from a file; without a file the seed decides.

    Raises:
        ConfigError: If the code on this computer makes another model than the founders', or the
            file is missing or holds another one.
    """
    expected = contract.model.initial_model_id
    if contract.continues or not is_built_in(contract.model.architecture) or file.exists():
        model = _read_model(read_public_file(file, "the initial model"), str(file))
        if (model.model_id, model.tensors) != (expected, contract.model.tensors):
            raise ConfigError(
                f"{file}: expected the initial model {expected.hex()[:16]}, got "
                f"{model.model_id.hex()[:16]}; copy the file that the founders made with the "
                "contract"
            )
        return encode_model_body(model.tensors, model.values)
    _, body = _seeded_body(_initial_settings(contract), len(contract.data.features), NO_CODE)
    if body_id(body) != expected:
        raise ConfigError(
            f"expected the initial model {expected.hex()[:16]}, got "
            f"{body_id(body).hex()[:16]}; install the version of fednode that the founders used, "
            f"or put the initial model that they made into {file}"
        )
    return body


def founders_model_file(contract: Contract, start: Start, earlier: Earlier | None) -> bytes | None:
    """Return the model that every member needs as a file; None if each can make it from the seed.

    Args:
        contract: The new one.
        start: As it was made with.
        earlier: As it was made with.

    Raises:
        ConfigError: If the file is not the contract's, or a member's own learner starts with other
            parameters each time.
        SettingsError: If the learner cannot be run.
    """
    if earlier is not None:
        return earlier.file
    if start.file is not None:
        return read_public_file(start.file, "the initial model")
    if is_built_in(contract.model.architecture):
        return None
    features = len(contract.data.features)
    tensors, body = _seeded_body(_initial_settings(contract), features, start.code)
    if body_id(body) != contract.model.initial_model_id:
        raise ConfigError(
            f"expected the learner {contract.model.architecture!r} to start with the same "
            "parameters whenever it is asked, got others; let initial_parameters draw from the "
            "generator that it is given, and from nothing else"
        )
    metadata = origin_metadata(chain_id(contract), 0, contract.model.initial_model_id)
    return encode_model_file(tensors, decode_model_body(body, tensors), metadata)


def is_from_seed(contract: Contract) -> bool:
    """Return whether the initial model is the one that a built-in model draws from the seed."""
    if contract.continues or not is_built_in(contract.model.architecture):
        return False
    _, body = _seeded_body(_initial_settings(contract), len(contract.data.features), NO_CODE)
    return body_id(body) == contract.model.initial_model_id


def settings_of(contract: Contract) -> TrainingSettings:
    """Return a contract's training settings as the training process takes them."""
    terms = contract.training
    return TrainingSettings(
        model=contract.model.architecture,
        learning_rate=float(terms.learning_rate),
        momentum=float(terms.momentum),
        batch_size=terms.batch_size,
        local_steps=terms.local_steps,
        worker_momentum=float(terms.worker_momentum),
        seed=terms.seed,
        optimizer=terms.optimizer,
    )


def _initial_settings(contract: Contract) -> TrainingSettings:
    return replace(settings_of(contract), seed=contract.model.initial_seed)


def _seeded_body(
    settings: TrainingSettings, n_features: int, code: OwnCode
) -> tuple[TensorTable, bytes]:
    tensors, values = initial_model(settings, n_features, settings.seed, code)
    return tensors, encode_model_body(tensors, values.astype("<i4", copy=False).tobytes())


def _shapes(tensors: TensorTable) -> str:
    return ", ".join(f"{each.name} {list(each.shape)}" for each in tensors)


def _read_model(data: bytes, what: str) -> ModelFile:
    try:
        return decode_model_file(data)
    except DecodeError as error:
        raise ConfigError(
            f"{what}: expected a file of 'fednode model export', got: {error}; copy it again"
        ) from None
