"""The contract, genesis and keys of a simulated network."""

from hashlib import sha256
from typing import Final

from ledger.bodies import body_id, encode_model_body
from ledger.genesis import (
    CONTRACT_VERSION,
    NO_FEEDBACK,
    AggregationTerms,
    Better,
    Contract,
    DataTerms,
    Feature,
    FeedbackTerms,
    FounderSignature,
    Genesis,
    Limits,
    Member,
    ModelTerms,
    Role,
    RuleParameter,
    Timeouts,
    TrainingTerms,
    consent_bytes,
)
from ledger.keys import Key
from ledger.tensors import TensorSpec
from tests.simulation.scheme import make_key
from tests.simulation.settings import Settings

EPOCH_MS: Final = 1_700_000_000_000
ELEMENTS: Final = 4
TENSORS: Final = (TensorSpec(name="weights", shape=(ELEMENTS,), exponent=16),)
INITIAL_BODY: Final = encode_model_body(TENSORS, bytes(4 * ELEMENTS))
"""The model of zeros with which full-node seeds begin."""
INITIAL_MODEL_ID: Final = sha256(b"initial model").digest()
TOLERANCE: Final = 2_000
"""Against levels of models up to 2**16 (`tests.simulation.aggregate.figure`)."""
TIMEOUTS: Final = Timeouts(
    collect_ms=1_500,
    collect_max_ms=6_000,
    have_grace_ms=100,
    propose_ms=800,
    prepare_ms=400,
    commit_ms=400,
    view_max_ms=6_000,
    rebroadcast_ms=1_500,
    clock_window_ms=2_000,
)


def member_key(settings: Settings, member: int) -> Key:
    """The secret key of a member; the same in every seed, so that keys are made once."""
    return make_key(sha256(b"member %d" % member).digest(), is_real=settings.is_real)


def make_contract(settings: Settings) -> Contract:
    """The contract that a seed's numbers make."""
    members = tuple(
        Member(
            name=f"hospital-{number}",
            public_key=member_key(settings, number).public_key,
            roles=_roles(settings, number),
            samples=settings.samples[number],
        )
        for number in range(settings.members)
    )
    return Contract(
        version=CONTRACT_VERSION,
        name="simulated network",
        members=members,
        model=ModelTerms(
            architecture="linear",
            tensors=TENSORS,
            initial_seed=1,
            initial_model_id=body_id(INITIAL_BODY) if settings.is_learning else INITIAL_MODEL_ID,
        ),
        data=DataTerms(
            label="outcome",
            positive="1",
            features=(Feature(name="age", mean="0", scale="1"),),
        ),
        training=TrainingTerms(
            optimizer="sgd",
            learning_rate="0.1",
            momentum="0",
            worker_momentum="0",
            batch_size=8,
            local_steps=1,
            seed=1,
            learner_hash=sha256(b"learner").digest(),
        ),
        aggregation=_aggregation(settings),
        feedback=_feedback(settings),
        privacy="none",
        byzantine_budget=settings.byzantine_budget,
        trainer_budget=settings.trainer_budget,
        min_updates=1,
        max_staleness=1,
        training_rounds=settings.training_rounds,
        timeouts=TIMEOUTS,
        limits=Limits(body_bytes_max=2**20, block_bytes_max=2**20),
    )


def sign_genesis(contract: Contract, settings: Settings) -> Genesis:
    """The genesis with every member's consent."""
    return Genesis(
        contract=contract,
        signatures=tuple(
            FounderSignature(
                member=number,
                signature=member_key(settings, number).sign(consent_bytes(contract)),
            )
            for number in range(settings.members)
        ),
    )


def _roles(settings: Settings, member: int) -> int:
    if member >= settings.validators:
        return int(Role.TRAINER)
    hold_out = Role.HOLD_OUT if member in settings.reporters else 0
    return int(Role.TRAINER | Role.VALIDATOR | hold_out)


def _aggregation(settings: Settings) -> AggregationTerms:
    """The rule that a founder gets who asks for none, where updates have contents."""
    if not settings.is_learning:
        return AggregationTerms(mode="robust", rule_id="mean", parameters=())
    f = RuleParameter(name="f", value=settings.trainer_budget)
    return AggregationTerms(mode="robust", rule_id="nnm-geometric-median", parameters=(f,))


def _feedback(settings: Settings) -> FeedbackTerms:
    if not settings.reporters:
        return NO_FEEDBACK
    return FeedbackTerms(
        metric="figure",
        better=Better.HIGHER,
        hold_out=200_000,
        patience=settings.patience,
        tolerance=TOLERANCE,
    )
