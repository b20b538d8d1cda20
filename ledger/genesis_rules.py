"""Whether the terms of a contract can hold, and what they tolerate (rules P1, P15, P83)."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

from ledger.bodies import body_bytes
from ledger.encoding import MESSAGE_BYTES_MAX
from ledger.errors import ContractError
from ledger.genesis import (
    CONTRACT_VERSION,
    NO_FEEDBACK,
    RULE_IDS,
    STALENESS_MAX,
    AggregationTerms,
    Contract,
    Genesis,
    Member,
    Role,
    consent_bytes,
    updates_needed,
)
from ledger.keys import ED25519, SignatureScheme
from ledger.metrics import METRIC_MAX, METRIC_SCALE, PATIENCE_MAX
from ledger.operations import OPERATIONS_MAX, READIES_MAX
from ledger.powers import cap_budget
from ledger.records import EVIDENCE_MAX

ELEMENTS_MAX: Final = 2**31
"""Largest number of model values."""
SAMPLES_MAX: Final = 2**32 - 1
"""Largest sample count; contribution weights are 32-bit integers."""
EXPONENT_MAX: Final = 100
"""Largest scale exponent: values stay normal float32 after scaling."""
# Largest encoded parts of a block in bytes, for `block_bytes_bound`: field widths plus msgpack's.
HEADER_BYTES: Final = 1_200
HAVE_BYTES: Final = 83
HAVE_ENTRY_BYTES: Final = 38
UPDATE_BYTES: Final = 171
VOTE_BYTES: Final = 66
CONTRIBUTION_BYTES: Final = 10
METRICS_BYTES: Final = 168
EVIDENCE_BYTES: Final = 8
"""Besides the two statements, of which HAVE lists are the longest or headers are (rule P45)."""
OPERATION_BYTES: Final = 1_700
"""The longest changes the terms (rule P81): sixteen parameters with names."""
APPROVAL_BYTES: Final = 105
READY_BYTES: Final = 116
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

Problems: TypeAlias = Iterator[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTolerance:
    """The three numbers that whoever makes a contract should see (rule P83).

    Attributes:
        silent_validators: Validators that may be silent before no block can be decided.
        silent_trainers: Trainers that may be silent before training stops.
        lying_trainers: Trainers that may send anything.
    """

    silent_validators: int
    silent_trainers: int
    lying_trainers: int


def fault_tolerance(contract: Contract) -> FaultTolerance:
    """Return what a valid contract tolerates (rule P83)."""
    validators = sum(member.is_validator for member in contract.members)
    budget = cap_budget(contract.byzantine_budget, validators)
    # Without a budget powers are equal; with one, only so many are sure to stay below a third.
    silent = budget if budget > 0 else cap_budget(validators, validators)
    return FaultTolerance(
        silent_validators=silent,
        silent_trainers=contract.n_trainers - updates_needed(contract),
        lying_trainers=contract.trainer_budget,
    )


def check_contract(contract: Contract) -> None:
    """Check that the terms fit together and can be carried out.

    Raises:
        ContractError: If they do not; the text names every problem, one per line.
    """
    _refuse([*_founder_problems(contract), *_terms_problems(contract)])


def check_terms(contract: Contract) -> None:
    """Check that the terms of a contract in force can be carried out by its members (rule P81).

    Raises:
        ContractError: If they do not; the text names every problem, one per line.
    """
    _refuse([*_terms_problems(contract)])


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ContractError("\n".join(problems))


def _terms_problems(contract: Contract) -> Problems:
    yield from _budget_problems(contract)
    yield from _model_problems(contract)
    yield from _training_problems(contract)
    yield from feedback_problems(contract)
    yield from _wait_problems(contract)


def check_genesis(genesis: Genesis, scheme: SignatureScheme = ED25519) -> None:
    """Check the contract and that every founding member signed it (rule P1).

    Raises:
        ContractError: If the terms cannot hold, or a signature is missing or not the member's.
    """
    check_contract(genesis.contract)
    check_consents(genesis, scheme)


def check_consents(genesis: Genesis, scheme: SignatureScheme = ED25519) -> None:
    """Check that every founding member signed the contract, whatever its terms (rule P1).

    Raises:
        ContractError: If a signature is missing, out of order or not the member's.
    """
    contract = genesis.contract
    signers = [each.member for each in genesis.signatures]
    if signers != list(range(len(contract.members))):
        expected = f"one signature of each of the {len(contract.members)} members, in order"
        raise ContractError(f"expected {expected}, got those of {signers}")
    message = consent_bytes(contract)
    for member, signed in zip(contract.members, genesis.signatures, strict=True):
        if not scheme.is_valid(member.public_key, message, signed.signature):
            name = f"member {signed.member} ({member.name})"
            raise ContractError(f"the signature of {name} is not under this contract")


def _founder_problems(contract: Contract) -> Problems:
    members = contract.members
    if contract.version != CONTRACT_VERSION:
        yield f"version: expected {CONTRACT_VERSION}, got {contract.version}"
    yield from _duplicates("members: name", (member.name for member in members))
    yield from _duplicates("members: public key", (member.public_key.hex() for member in members))
    if not any(member.is_validator for member in members):
        yield "members: expected at least one validator, got none"
    for each in contract.continues:
        if each.model_id != contract.model.initial_model_id:
            yield "continues.model_id: expected the initial model, got another"
        if each.height < 1:
            yield "continues.height: expected at least 1, got 0"
    for number, member in enumerate(members):
        yield from member_problems(f"members[{number}] ({member.name})", member)


def member_problems(where: str, member: Member) -> Problems:
    """Yield what is wrong with one member; `where` is what the sentences begin with."""
    if not member.name:
        yield f"{where}: expected a name, got none"
    if not 0 < member.roles <= (Role.TRAINER | Role.VALIDATOR | Role.HOLD_OUT):
        yield f"{where}: expected roles of trainer, validator, hold-out, got {member.roles}"
    if member.has_hold_out and not member.is_validator:
        yield f"{where}: expected a member with a hold-out to be a validator, it is none"
    if member.samples > SAMPLES_MAX:
        yield f"{where}: expected at most {SAMPLES_MAX} samples, got {member.samples}"
    if member.is_trainer and not member.samples:
        yield f"{where}: expected a trainer to have samples, got 0"


def _budget_problems(contract: Contract) -> Problems:
    validators = sum(member.is_validator for member in contract.members)
    trainers, needed = contract.n_trainers, updates_needed(contract)
    most = cap_budget(contract.byzantine_budget, max(1, validators))
    if contract.byzantine_budget > most:
        expected = f"at most {most} of {validators} validators"
        yield f"byzantine_budget: expected {expected}, got {contract.byzantine_budget}"
    if contract.min_updates < 1:
        yield "min_updates: expected at least 1, got 0"
    if contract.max_staleness > STALENESS_MAX:
        yield f"max_staleness: expected at most {STALENESS_MAX}, got {contract.max_staleness}"
    if needed > trainers:
        why = f"min_updates {contract.min_updates}, trainer_budget {contract.trainer_budget}"
        yield f"training needs {needed} updates ({why}), but there are {trainers} trainers"
    if contract.training_rounds < 1:
        yield "training_rounds: expected at least 1, got 0"


def _model_problems(contract: Contract) -> Problems:
    tensors = contract.model.tensors
    if not contract.model.architecture:
        yield "model.architecture: expected a name, got none"
    if not tensors:
        yield "model.tensors: expected at least one tensor, got none"
    yield from _duplicates("model.tensors: name", (tensor.name for tensor in tensors))
    for tensor in tensors:
        if tensor.size < 1:
            yield f"model.tensors[{tensor.name}]: expected elements, got shape {tensor.shape}"
        if tensor.exponent > EXPONENT_MAX:
            expected = f"an exponent of at most {EXPONENT_MAX}"
            yield f"model.tensors[{tensor.name}]: expected {expected}, got {tensor.exponent}"
    if contract.model.n_elements > ELEMENTS_MAX:
        yield f"model: expected at most {ELEMENTS_MAX} values, got {contract.model.n_elements}"
    size = body_bytes(tensors, is_update=True)
    if size > contract.limits.body_bytes_max:
        yield f"limits.body_bytes_max: an update has {size}, got {contract.limits.body_bytes_max}"


def _training_problems(contract: Contract) -> Problems:
    terms = contract.training
    for field in ("learning_rate", "momentum", "worker_momentum"):
        yield from _decimal_problems(f"training.{field}", str(getattr(terms, field)))
    if not terms.optimizer:
        yield "training.optimizer: expected a name, got none"
    for field, count in (("batch_size", terms.batch_size), ("local_steps", terms.local_steps)):
        if count < 1:
            yield f"training.{field}: expected at least 1, got 0"
    yield from _duplicates("data.features: name", (each.name for each in contract.data.features))
    for feature in contract.data.features:
        where = f"data.features[{feature.name}]"
        yield from _decimal_problems(f"{where}.mean", feature.mean)
        yield from _decimal_problems(f"{where}.scale", feature.scale)
        if _is_decimal(feature.scale) and float(feature.scale) <= 0:
            yield f"{where}.scale: expected more than 0, got {feature.scale}"
    if contract.privacy != "none":
        yield f"privacy: expected 'none', got {contract.privacy!r}"
    yield from _aggregation_problems(contract.aggregation)


def _aggregation_problems(terms: AggregationTerms) -> Problems:
    """What no node could aggregate by: all would stop at the next AGGREGATE block."""
    if terms.mode != "robust":
        yield f"aggregation.mode: expected 'robust', got {terms.mode!r}"
    if terms.rule_id not in RULE_IDS:
        known = ", ".join(RULE_IDS)
        yield f"aggregation.rule_id: expected a rule of {known}, got {terms.rule_id!r}"
    yield from _duplicates("aggregation.parameters: name", (each.name for each in terms.parameters))
    for each in terms.parameters:
        if each.name == "f" and each.value < 0:
            yield f"aggregation.parameters[f]: expected 0 or more, got {each.value}"


def feedback_problems(contract: Contract) -> Problems:
    """Yield why members cannot judge models under these terms, or who should not (rule P16)."""
    terms = contract.feedback
    if terms == NO_FEEDBACK:
        if any(member.has_hold_out for member in contract.members):
            yield "feedback: expected terms, because a member has a hold-out, got none"
        return
    if not terms.metric:
        yield "feedback.metric: expected a name, got none"
    if not 0 < terms.hold_out < METRIC_SCALE:
        expected = f"more than 0 and less than {METRIC_SCALE} millionths"
        yield f"feedback.hold_out: expected {expected}, got {terms.hold_out}"
    if not 0 < terms.patience <= PATIENCE_MAX:
        yield f"feedback.patience: expected 1 to {PATIENCE_MAX} models, got {terms.patience}"
    if terms.tolerance > METRIC_MAX:
        yield f"feedback.tolerance: expected at most {METRIC_MAX}, got {terms.tolerance}"


def _wait_problems(contract: Contract) -> Problems:
    waits = contract.timeouts
    for field in fields(waits):
        if getattr(waits, field.name) < 1:
            yield f"timeouts.{field.name}: expected at least 1 ms, got 0"
    if waits.collect_max_ms < waits.collect_ms:
        yield f"timeouts.collect_max_ms: expected {waits.collect_ms} or more (collect_ms)"
    longest = max(waits.propose_ms, waits.prepare_ms, waits.commit_ms)
    if waits.view_max_ms < longest:
        yield f"timeouts.view_max_ms: expected {longest} or more (the longest wait of a view)"
    yield from block_size_problems(contract)


def block_size_problems(contract: Contract) -> Problems:
    """Yield why blocks of these members need not fit the limit, or the limit is none."""
    limit, bound = contract.limits.block_bytes_max, block_bytes_bound(contract)
    if not 0 < limit <= MESSAGE_BYTES_MAX:
        yield f"limits.block_bytes_max: expected 1 to {MESSAGE_BYTES_MAX}, got {limit}"
    elif bound > limit:
        yield (
            f"members: a block of so many takes up to {bound} bytes, limits.block_bytes_max is "
            f"{limit}: let fewer members validate, or raise the limit where the broker allows it"
        )


def block_bytes_bound(contract: Contract) -> int:
    """Return a size in bytes that no valid block of this network exceeds.

    HAVE lists make most of it: each validator's names each trainer's update once (rule P11). Those
    in evidence can be of a height with more trainers, never with more members.
    """
    trainers = sum(member.is_trainer for member in contract.members)
    validators = sum(member.is_validator for member in contract.members)
    reporters = sum(member.has_hold_out for member in contract.members)
    # Only a trainer that lies has more than one header vouched for, and at most three.
    liars = max(contract.trainer_budget, contract.byzantine_budget)
    headers = trainers + 2 * min(trainers, liars)
    return (
        HEADER_BYTES
        + validators * (HAVE_BYTES + trainers * HAVE_ENTRY_BYTES + VOTE_BYTES)
        + headers * UPDATE_BYTES
        + trainers * CONTRIBUTION_BYTES
        + reporters * contract.feedback.patience * METRICS_BYTES
        + min(EVIDENCE_MAX, len(contract.members)) * _evidence_bytes(len(contract.members))
        + OPERATIONS_MAX * (OPERATION_BYTES + validators * APPROVAL_BYTES)
        + READIES_MAX * READY_BYTES
    )


def _evidence_bytes(listed: int) -> int:
    return EVIDENCE_BYTES + 2 * max(UPDATE_BYTES, HAVE_BYTES + listed * HAVE_ENTRY_BYTES)


def _decimal_problems(where: str, text: str) -> Problems:
    if not _is_decimal(text):
        yield f"{where}: expected a finite decimal number, got {text!r}"


def _is_decimal(text: str) -> bool:
    return _DECIMAL.fullmatch(text) is not None and math.isfinite(float(text))


def _duplicates(where: str, names: Iterable[str]) -> Problems:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{where}: expected distinct ones, got {name} {count} times"
