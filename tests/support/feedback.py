"""Builders of METRICS, and networks in which members judge models (rule P16)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ledger.feedback import JudgedModel
from ledger.genesis import Better, Contract, FeedbackTerms, Role
from ledger.keys import Signed, sign
from ledger.metrics import MetricsReport
from ledger.validity import check_block
from tests.support.ledger import STUB_SCHEME, Chain, contract, stub_chain, with_roles

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


def judging_network(
    n: int = 4, *, blocks: int = 1, rounds: int = 1_000, patience: int = 3
) -> Chain:
    """Members that all judge models, with equal powers."""
    terms = contract(n, samples=[100] * n, training_rounds=rounds)
    return stub_chain(blocks, of=with_feedback(terms, range(n), patience=patience))


def add_judged(made: Chain, values: Mapping[int, int], **options: object) -> None:
    """Add a valid block with what members say about the newest model."""
    block = made.build(metrics=reports(made, values), **options)  # type: ignore[arg-type]  # by name
    found = check_block(made.contract, made.state, block, scheme=STUB_SCHEME)
    assert [each.text for each in found] == []
    made.add(block)
