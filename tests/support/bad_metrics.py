"""Forged METRICS, each of which exactly one check finds (rule P16)."""

from collections.abc import Callable
from dataclasses import replace

from ledger.keys import Signed, sign
from ledger.metrics import MetricsReport
from ledger.records import Block
from tests.support.evidence import proof
from tests.support.feedback import report, reports
from tests.support.ledger import Chain, digest

Forge = Callable[[Chain], tuple[Signed[MetricsReport], ...]]
BAD_SIGNATURE = bytes(64)


def with_metrics(forge: Forge) -> Callable[[Chain], Block]:
    """A block that is right in everything but the METRICS that it carries."""

    def forged(made: Chain) -> Block:
        # Made first: some forgeries let the chain grow before.
        metrics = forge(made)
        return made.build(metrics=metrics)

    return forged


def changed(made: Chain, **fields: object) -> tuple[Signed[MetricsReport], ...]:
    """METRICS about something else, signed by their member."""
    statement = replace(
        report(made, 1, value=5).statement,
        **fields,  # type: ignore[arg-type]  # by name
    )
    return (sign(statement, made.keys[1], signer=1, chain_id=made.state.chain_id),)


def of_another_model(made: Chain) -> tuple[Signed[MetricsReport], ...]:
    older, newest = made.state.judged[-2:]
    return changed(made, height=older.height, model_id=newest.model_id)


def too_late(made: Chain) -> tuple[Signed[MetricsReport], ...]:
    """`patience` further models are decided."""
    metrics = reports(made, {1: 5})
    for _ in range(made.contract.feedback.patience):
        made.add(made.build())
    return metrics


def said_before(made: Chain) -> tuple[Signed[MetricsReport], ...]:
    model = made.state.judged[-1]
    made.add(made.build(metrics=(report(made, 1, value=5, model=model),)))
    return (report(made, 1, value=6, model=model),)


def of_a_banned_member(made: Chain) -> tuple[Signed[MetricsReport], ...]:
    made.add(made.build(evidence=(proof(made, 1, height=2),)))
    return reports(made, {1: 5})


def made_up(made: Chain) -> tuple[Signed[MetricsReport], ...]:
    return tuple(replace(each, signature=BAD_SIGNATURE) for each in reports(made, {1: 5}))


def in_the_name_of_another(made: Chain) -> tuple[Signed[MetricsReport], ...]:
    return tuple(replace(each, signer=2) for each in reports(made, {1: 5}))


BAD_METRICS: tuple[tuple[int, str, Forge], ...] = (
    (39, "one member twice", lambda made: reports(made, {1: 5}) + reports(made, {1: 6})),
    (39, "out of order", lambda made: reports(made, {1: 5, 2: 5})[::-1]),
    (40, "of a height without a model", lambda made: changed(made, height=99)),
    (40, "of a model long past", too_late),
    (40, "of another model", of_another_model),
    (40, "compared with another model", lambda made: changed(made, best_id=digest("best"))),
    (41, "of a validator without a hold-out", lambda made: reports(made, {3: 5})),
    (41, "of a trainer", lambda made: reports(made, {4: 5})),
    (41, "of a banned member", of_a_banned_member),
    (42, "said before", said_before),
    (43, "made up", made_up),
    (43, "in the name of another", in_the_name_of_another),
)
