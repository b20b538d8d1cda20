"""Builders of METRICS, and networks in which members judge models (rule P16)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ledger.feedback import JudgedModel
from ledger.genesis import Better, Contract, FeedbackTerms, Role
from ledger.keys import Signed, sign
from ledger.metrics import MetricsReport
from tests.support.ledger import Chain, with_roles

FEEDBACK = FeedbackTerms(
    metric="loss", better=Better.LOWER, hold_out=200_000, patience=3, tolerance=1_000
)
TRIPLE = Role.TRAINER | Role.VALIDATOR | Role.HOLD_OUT


def with_feedback(of: Contract, reporters: Iterable[int], **terms: object) -> Contract:
    """The contract with feedback; `reporters` get all three roles."""
    feedback = replace(FEEDBACK, **terms)  # type: ignore[arg-type]  # fields by name
    return replace(with_roles(of, dict.fromkeys(reporters, TRIPLE)), feedback=feedback)


def report(
    made: Chain, member: int, *, value: int, best_value: int = 0, model: JudgedModel | None = None
) -> Signed[MetricsReport]:
    """What a member says about a model, the newest unless told."""
    judged = model or made.state.judged[-1]
    statement = MetricsReport(
        height=judged.height,
        model_id=judged.model_id,
        best_id=judged.best_id,
        value=value,
        best_value=best_value,
    )
    return sign(statement, made.keys[member], signer=member, chain_id=made.state.chain_id)


def reports(made: Chain, values: Mapping[int, int]) -> tuple[Signed[MetricsReport], ...]:
    """METRICS of the newest model by member; each says how much better than the best it is."""
    return tuple(report(made, member, value=values[member]) for member in sorted(values))
