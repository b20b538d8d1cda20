"""What a node tells its training process: one JSON file, read once, that holds no row."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fednode.attacks import parse_attack
from fednode.learning.data_spec import DataSpec
from fednode.learning.errors import DataError, SettingsError
from fednode.learning.learner import TrainingSettings
from fednode.learning.learner_file import NO_CODE, OwnCode
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import MomentumFolder
from fednode.learning.registry import build_learner
from fednode.learning.site_data import load_site, site_datasets
from ledger.genesis import Feature
from ledger.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """All that a training process needs besides the model of each training round.

    `member` is the member's number; `attack` is empty except in test networks; `state_folder`
    keeps the worker momentum of this one network; `code` is where a member's own learner is, and
    the hash of it in the contract.
    """

    data: DataSpec
    features: tuple[Feature, ...]
    settings: TrainingSettings
    tensors: tuple[TensorSpec, ...]
    member: int
    state_folder: str
    attack: str = ""
    code: OwnCode = NO_CODE


_JOB: Final = TypeAdapter(TrainingJob)


def save_job(path: Path, job: TrainingJob) -> None:
    """Write the job, readable by its owner only, since it names where patients' data lie."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_JOB.dump_json(job, indent=2))


def load_job(path: Path) -> TrainingJob:
    """Return the job in a file.

    Raises:
        SettingsError: If the file cannot be read or is not a job.
    """
    try:
        return _JOB.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SettingsError(f"cannot read the training job {path}: {error}") from error


def open_job(job: TrainingJob) -> LocalTraining:
    """Load the member's rows and build its learner.

    Raises:
        DataError: If the rows cannot be read or learned from, or lack a feature of the contract.
        SettingsError: If there is no such model or attack, or it does not fit the tensor table.
    """
    if not job.features:
        raise DataError("the contract names no features: nothing to learn from")
    one_class = job.data.allow_one_class
    data = site_datasets(load_site(job.data), job.features, allow_one_class=one_class)
    attack = parse_attack(job.attack) if job.attack else None
    if attack is not None:
        data = {**data, "training": attack.apply_to_rows(data["training"])}
    return LocalTraining(
        learner=build_learner(job.settings, len(job.features), data, job.code),
        settings=job.settings,
        tensors=job.tensors,
        member=job.member,
        momenta=MomentumFolder(Path(job.state_folder)),
        attack=attack,
    )
