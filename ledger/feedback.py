"""Feedback: which model is the best, and when the base returns to it (rule P16).

A member prefers a model when it is better than the best one by its own figures, and regrets it when
it is worse by more than the tolerance. Only a quorum of the power of those with a hold-out moves
anything, and figures of different members are never compared: with a median, one member whose rows
are unlike the others' could force the network back again and again.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Final

from ledger.encoding import I64, U16, U64, Digest, Items
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.kinds import MEMBERS_MAX
from ledger.metrics import PATIENCE_MAX, MetricsReport
from ledger.powers import ValidatorSet, is_quorum
from ledger.records import Block, BlockKind

if TYPE_CHECKING:
    from ledger.state import State

JUDGED_MAX: Final = 2 * PATIENCE_MAX - 1
"""Models that a state holds for judgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one member reported of a model and of the best one at that time."""

    member: U16
    value: I64
    best_value: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedModel:
    """A model under judgement.

    Attributes:
        height: Height of the block that made it.
        model_id: The model.
        optimizer_id: The server optimizer's state that belongs to it.
        best_id: The best model in the state after that block, with which members compare it.
        figures: What members reported, ascending by member.
    """

    height: U64
    model_id: Digest
    optimizer_id: Digest
    best_id: Digest
    figures: Annotated[tuple[Figures, ...], Items(MEMBERS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestModel:
    """The best model by the members' figures, the initial one at first.

    Attributes:
        height: Height of the block that made it; 0 for the initial one.
        model_id: The model.
        optimizer_id: The server optimizer's state that belongs to it.
    """

    height: U64
    model_id: Digest
    optimizer_id: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the METRICS of one block lead to."""

    best: BestModel
    judged: tuple[JudgedModel, ...]
    is_regretted: bool


def judge(
    contract: Contract,
    state: "State",
    metrics: Sequence[Signed[MetricsReport]],
    banned: Collection[int],
) -> Verdict:
    """Return the best model after a block with `metrics`, and whether the base returns to it.

    All figures that the state then holds count, with the powers of the block's own set. Total: what
    no block may carry changes nothing here.

    Args:
        contract: The terms in force.
        state: The state after the parent.
        metrics: The block's METRICS.
        banned: Who is banned after the block.
    """
    best = state.best
    if not metrics:
        return Verdict(best=best, judged=state.judged, is_regretted=False)
    judged = _with_figures(state.judged, metrics)
    powers = hold_out_powers(contract, state.validators, banned)
    for model in judged:
        if model.model_id != best.model_id and _prefer(judged, model, best, powers):
            best = BestModel(
                height=model.height, model_id=model.model_id, optimizer_id=model.optimizer_id
            )
    newer = [
        _regret(judged, model, best, powers, contract.feedback.tolerance)
        for model in judged
        if model.height > best.height
    ]
    is_regretted = _has_run(newer, contract.feedback.patience)
    return Verdict(best=best, judged=judged, is_regretted=is_regretted)


def judged_after(
    contract: Contract, block: Block, height: int, verdict: Verdict
) -> tuple[JudgedModel, ...]:
    """Return the models under judgement after a block: its own is added, the oldest go.

    So many are kept that a run of regretted models is seen also when the figures of the last of
    them came as late as they may. A return to the best model ends all judgement.
    """
    patience = contract.feedback.patience
    if verdict.is_regretted or not patience:
        return ()
    judged = verdict.judged
    if block.header.kind is BlockKind.AGGREGATE:
        made = JudgedModel(
            height=height,
            model_id=block.header.results.model_id,
            optimizer_id=block.header.results.optimizer_id,
            best_id=verdict.best.model_id,
            figures=(),
        )
        judged = (*judged, made)
    return judged[1 - 2 * patience :]


def hold_out_powers(
    contract: Contract, validators: ValidatorSet, banned: Collection[int] = ()
) -> dict[int, int]:
    """Return the power of each validator with a hold-out that is not banned, by member."""
    return {
        each.member: each.power
        for each in validators.validators
        if contract.members[each.member].has_hold_out and each.member not in banned
    }


def model_problem(contract: Contract, state: "State", report: MetricsReport) -> str | None:
    """Return why a block after `state` cannot carry METRICS of this model."""
    model = _open_model(contract, state, report.height)
    if model is None:
        newest = [each.height for each in state.judged[-contract.feedback.patience :]]
        return f"expected figures of a model of the heights {newest}, got height {report.height}"
    expected, got = (model.model_id, model.best_id), (report.model_id, report.best_id)
    if expected == got:
        return None
    names = ["/".join(each.hex()[:8] for each in pair) for pair in (expected, got)]
    return f"expected figures of model and best {names[0]}, got {names[1]}"


def reporter_problem(contract: Contract, state: "State", member: int) -> str | None:
    """Return why a block after `state` cannot carry METRICS of this member."""
    if member in hold_out_powers(contract, state.validators):
        return None
    return f"member {member} is no validator with a hold-out at this height"


def repetition_problem(state: "State", metrics: Signed[MetricsReport]) -> str | None:
    """Return why METRICS came before: the state holds the member's figures of that model."""
    for model in state.judged:
        if model.height == metrics.statement.height and _figures(model, metrics.signer):
            return f"figures of member {metrics.signer} of height {model.height} are here already"
    return None


def metrics_problem(
    contract: Contract, state: "State", metrics: Signed[MetricsReport]
) -> str | None:
    """Return why a block after `state` cannot carry these METRICS, None when it can."""
    return (
        reporter_problem(contract, state, metrics.signer)
        or model_problem(contract, state, metrics.statement)
        or repetition_problem(state, metrics)
    )


def weighted_median(values: Mapping[int, int], powers: Mapping[int, int]) -> int | None:
    """Return the least value that half of the power of its reporters does not exceed.

    For people only: levels of different hospitals are never compared (rule P16).

    Args:
        values: Reported value by member.
        powers: Power by member; the others' values are left out.
    """
    counted = sorted(
        (value, powers[member]) for member, value in values.items() if member in powers
    )
    total, below = sum(power for _, power in counted), 0
    for value, power in counted:
        below += power
        if 2 * below >= total:
            return value
    return None


def _open_model(contract: Contract, state: "State", height: int) -> JudgedModel | None:
    """The model of a height, unless `patience` further ones are decided."""
    patience = contract.feedback.patience
    newest = state.judged[-patience:] if patience else ()
    return next((each for each in newest if each.height == height), None)


def _with_figures(
    judged: Sequence[JudgedModel], metrics: Sequence[Signed[MetricsReport]]
) -> tuple[JudgedModel, ...]:
    found = {model.height: model for model in judged}
    for each in metrics:
        report = each.statement
        model = found.get(report.height)
        if model is None or _figures(model, each.signer) is not None:
            continue
        figures = Figures(member=each.signer, value=report.value, best_value=report.best_value)
        together = sorted((*model.figures, figures), key=attrgetter("member"))
        found[report.height] = replace(model, figures=tuple(together))
    return tuple(found[model.height] for model in judged)


def _prefer(
    judged: Sequence[JudgedModel], model: JudgedModel, best: BestModel, powers: Mapping[int, int]
) -> bool:
    gains = _gains(judged, model, best)
    return _is_quorum_of([member for member, gain in gains if gain > 0], powers)


def _regret(
    judged: Sequence[JudgedModel],
    model: JudgedModel,
    best: BestModel,
    powers: Mapping[int, int],
    tolerance: int,
) -> bool:
    gains = _gains(judged, model, best)
    return _is_quorum_of([member for member, gain in gains if gain < -tolerance], powers)


def _gains(
    judged: Sequence[JudgedModel], model: JudgedModel, best: BestModel
) -> Iterator[tuple[int, int]]:
    """How much better a model is than the best, by each member's own figures of both."""
    for figures in model.figures:
        best_value = _value_of_best(judged, model, figures, best)
        if best_value is not None:
            yield figures.member, figures.value - best_value


def _value_of_best(
    judged: Sequence[JudgedModel], model: JudgedModel, figures: Figures, best: BestModel
) -> int | None:
    """A member's figure of the best model: from the same METRICS, or from others of the member.

    Another model may have become the best since the member compared.
    """
    if model.best_id == best.model_id:
        return figures.best_value
    for other in judged:
        own = _figures(other, figures.member)
        if own is not None and other.model_id == best.model_id:
            return own.value
        if own is not None and other.best_id == best.model_id:
            return own.best_value
    return None


def _figures(model: JudgedModel, member: int) -> Figures | None:
    return next((each for each in model.figures if each.member == member), None)


def _is_quorum_of(members: Sequence[int], powers: Mapping[int, int]) -> bool:
    together = sum(powers.get(member, 0) for member in members)
    return is_quorum(together, sum(powers.values()))


def _has_run(regretted: Sequence[bool], patience: int) -> bool:
    """Whether so many in a row are true."""
    run = 0
    for each in regretted:
        run = run + 1 if each else 0
        if run >= patience > 0:
            return True
    return False
