"""From the founders' cards and choices to their contract, and from a contract to a start."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fednode.errors import ConfigError
from fednode.founding.cards import MemberCard
from fednode.founding.initial_model import Earlier, Start, model_terms
from fednode.learning.learner import TrainingSettings
from fednode.learning.learner_file import OwnCode
from fednode.learning.registry import learner_hash
from fednode.learning.statistics import combine
from ledger.bodies import body_bytes
from ledger.genesis import (
    CONTRACT_VERSION,
    NO_FEEDBACK,
    AggregationTerms,
    Better,
    Continues,
    Contract,
    DataTerms,
    Feature,
    FeedbackTerms,
    Limits,
    Member,
    ModelTerms,
    RuleParameter,
    Timeouts,
    TrainingTerms,
)
from ledger.genesis_rules import check_contract
from ledger.metrics import METRIC_MAX, METRIC_SCALE
from ledger.powers import cap_budget

MODE: Final = "robust"
PRIVACY: Final = "none"
BLOCK_BYTES_MAX: Final = 240 * 2**10
"""A block travels with its proposal in one packet, and packets begin at 256 KiB (rule P91)."""
TIMEOUTS: Final = Timeouts(
    collect_ms=60_000,
    collect_max_ms=600_000,
    have_grace_ms=500,
    propose_ms=10_000,
    prepare_ms=5_000,
    commit_ms=5_000,
    view_max_ms=120_000,
    rebroadcast_ms=3_000,
    clock_window_ms=60_000,
)
"""For hospitals on the internet; test networks wait less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractOptions:
    """What the founders choose; None lets the number of members decide.

    Attributes:
        name: Title of the network.
        model: A built-in model (`fednode.learning.models`), or a learner as `name.py:MyLearner` or
            `package.module:factory`.
        learner_file: Where `name.py` is; None for a model that is in no file.
        initial_model: A model file to start from; None starts from the seed.
        optimizer: How members train (`fednode.learning.local_terms`).
        training_rounds: Number of times that updates are aggregated.
        rule: Name of the aggregation rule (`fednode.aggregation.rules`).
        seed: Seed of initial model and training.
        byzantine_budget: Validators that may lie; None means as many as possible.
        trainer_budget: Trainers that may lie; None means as many as possible.
        min_updates: Fewest updates that make a model; None means more than half of the trainers.
        metric: Figure by which members with a hold-out judge models; with a minus in front, one of
            which less is better.
        patience: Regretted models in a row after which training returns to the best one.
        tolerance: How much worse than the best a model may be before it is regretted.
        max_staleness: Training rounds by which an update may come late and still count.
    """

    name: str
    model: str = "logistic"
    optimizer: str = "sgd"
    learner_file: Path | None = None
    initial_model: Path | None = None
    training_rounds: int = 10
    rule: str = "nnm-geometric-median"
    learning_rate: float = 0.1
    momentum: float = 0.0
    worker_momentum: float = 0.0
    batch_size: int = 16
    local_steps: int = 50
    seed: int = 0
    byzantine_budget: int | None = None
    trainer_budget: int | None = None
    min_updates: int | None = None
    metric: str = "-loss"
    patience: int = 3
    tolerance: float = 0.05
    max_staleness: int = 1
    timeouts: Timeouts = TIMEOUTS

    @property
    def start(self) -> Start:
        """Where training starts."""
        return Start(code=OwnCode(file=self.learner_file), file=self.initial_model)

    @property
    def settings(self) -> TrainingSettings:
        """The training settings among the choices."""
        return TrainingSettings(
            model=self.model,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            batch_size=self.batch_size,
            local_steps=self.local_steps,
            worker_momentum=self.worker_momentum,
            seed=self.seed,
            optimizer=self.optimizer,
        )


def make_contract(
    cards: Sequence[MemberCard], options: ContractOptions, earlier: Earlier | None = None
) -> Contract:
    """Return the contract of the members behind `cards`, numbered in this order.

    The statistics add up to common means and scales, and the initial model follows from the seed;
    both are taken over where an earlier chain is continued.

    Args:
        cards: At least one with data; each was checked by `load_card` or made here.
        options: The founders' choices.
        earlier: What is left of the chain that this one continues, if there is one.

    Raises:
        ConfigError: If cards contradict each other or the earlier chain.
        ContractError: If the terms cannot hold (`ledger.genesis_rules.check_contract`).
        DataError: If the sites' columns differ or one has no value anywhere.
        SettingsError: If there is no such model.
    """
    data = _data_terms(cards, earlier)
    model = model_terms(options.settings, len(data.features), options.start, earlier)
    parts = ContractParts(
        members=tuple(_member(card) for card in cards),
        model=model,
        data=data,
        feedback=_feedback_terms(cards, options),
        learner_hash=learner_hash(options.model, options.start.code),
        continues=() if earlier is None else (earlier.named,),
    )
    return contract_from(parts, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractParts:
    """What of a contract does not follow from the founders' choices alone."""

    members: tuple[Member, ...]
    model: ModelTerms
    data: DataTerms
    feedback: FeedbackTerms
    learner_hash: bytes
    continues: tuple[Continues, ...] = ()


def contract_from(parts: ContractParts, options: ContractOptions) -> Contract:
    """Return the contract of some parts; what the options leave open follows from the members.

    Raises:
        ContractError: If the terms cannot hold (`ledger.genesis_rules.check_contract`).
    """
    n, m = _count(parts.members)
    budget = _chosen(options.byzantine_budget, cap_budget(n, n) if n else 0)
    liars = _chosen(options.trainer_budget, min(budget, max(0, m - 1) // 3))
    contract = Contract(
        version=CONTRACT_VERSION,
        name=options.name,
        members=parts.members,
        model=parts.model,
        data=parts.data,
        training=_training_terms(options, parts.learner_hash),
        aggregation=AggregationTerms(
            mode=MODE,
            rule_id=options.rule,
            parameters=(RuleParameter(name="f", value=liars),),
        ),
        feedback=parts.feedback,
        privacy=PRIVACY,
        byzantine_budget=budget,
        trainer_budget=liars,
        min_updates=_chosen(options.min_updates, m // 2 + 1),
        max_staleness=options.max_staleness,
        training_rounds=options.training_rounds,
        timeouts=options.timeouts,
        limits=Limits(
            body_bytes_max=body_bytes(parts.model.tensors, is_update=True),
            block_bytes_max=BLOCK_BYTES_MAX,
        ),
        continues=parts.continues,
    )
    check_contract(contract)
    return contract


def timeouts_of(collect_s: float, view_s: float) -> Timeouts:
    """Return all waits of a contract from the two that founders think about.

    Args:
        collect_s: Longest wait for updates that are expected, in seconds.
        view_s: Longest wait for a proposer in the first view, in seconds.
    """
    collect_ms, view_ms = round(1000 * collect_s), round(1000 * view_s)
    return replace(
        TIMEOUTS,
        collect_ms=collect_ms,
        collect_max_ms=10 * collect_ms,
        propose_ms=view_ms,
        prepare_ms=max(1, view_ms // 2),
        commit_ms=max(1, view_ms // 2),
        view_max_ms=max(TIMEOUTS.view_max_ms, 10 * view_ms),
        have_grace_ms=max(1, min(TIMEOUTS.have_grace_ms, view_ms // 10)),
        rebroadcast_ms=max(1, min(TIMEOUTS.rebroadcast_ms, view_ms // 2)),
    )


def _data_terms(cards: Sequence[MemberCard], earlier: Earlier | None) -> DataTerms:
    with_data = [card for card in cards if card.statistics is not None]
    if not with_data:
        raise ConfigError("expected at least one member card with data, got none")
    first = with_data[0]
    for card in with_data:
        for what in ("label", "positive"):
            ours, theirs = getattr(first, what), getattr(card, what)
            if ours != theirs:
                raise ConfigError(
                    f"expected one {what} at all members, got {ours!r} of {first.name!r} and "
                    f"{theirs!r} of {card.name!r}; agree on one and make the cards again"
                )
    features: tuple[Feature, ...] = combine(
        tuple(card.statistics for card in with_data if card.statistics is not None)
    )
    made = DataTerms(label=first.label, positive=first.positive, features=features)
    return made if earlier is None else _taken_over(made, earlier.data)


def _taken_over(made: DataTerms, earlier: DataTerms) -> DataTerms:
    """The earlier means and scales, under which the model was trained, for the same columns."""
    ours, theirs = [
        (each.label, each.positive, *(feature.name for feature in each.features))
        for each in (made, earlier)
    ]
    if ours != theirs:
        raise ConfigError(
            f"expected label, positive class and columns of the earlier network, {theirs}, got "
            f"{ours}; make the cards with the same columns again, or found a network that starts "
            "anew"
        )
    return earlier


def _feedback_terms(cards: Sequence[MemberCard], options: ContractOptions) -> FeedbackTerms:
    """Rule P16; nothing without a member that holds rows out."""
    shares = {card.hold_out: card.name for card in cards if card.hold_out}
    if not shares:
        return NO_FEEDBACK
    if len(shares) > 1:
        (ours, one), (theirs, other) = tuple(shares.items())[:2]
        raise ConfigError(
            f"expected one share of rows held out at all members, got {ours} millionths of {one!r} "
            f"and {theirs} of {other!r}; agree on one and make the cards again"
        )
    if not 0.0 <= options.tolerance <= METRIC_MAX / METRIC_SCALE:
        raise ConfigError(f"expected a tolerance of 0 or more, got {options.tolerance}")
    is_loss = options.metric.startswith("-")
    return FeedbackTerms(
        metric=options.metric.removeprefix("-"),
        better=Better.LOWER if is_loss else Better.HIGHER,
        hold_out=next(iter(shares)),
        patience=options.patience,
        tolerance=round(options.tolerance * METRIC_SCALE),
    )


def _member(card: MemberCard) -> Member:
    return Member(
        name=card.name,
        public_key=bytes.fromhex(card.public_key),
        roles=card.role_bits,
        samples=card.samples,
    )


def _training_terms(options: ContractOptions, code_hash: bytes) -> TrainingTerms:
    return TrainingTerms(
        optimizer=options.optimizer,
        learning_rate=repr(options.learning_rate),
        momentum=repr(options.momentum),
        worker_momentum=repr(options.worker_momentum),
        batch_size=options.batch_size,
        local_steps=options.local_steps,
        seed=options.seed,
        learner_hash=code_hash,
    )


def _count(members: Sequence[Member]) -> tuple[int, int]:
    # Validators and trainers.
    return sum(each.is_validator for each in members), sum(each.is_trainer for each in members)


def _chosen(value: int | None, default: int) -> int:
    return default if value is None else value
