"""Checks of the statements that a proposer chooses to carry: evidence and METRICS (P16, P45)."""

from collections.abc import Iterator

from ledger.evidence import (
    accused,
    admission_problem,
    content_problem,
    height_problem,
    place_of,
    place_problem,
    role_problem,
    validators_left,
)
from ledger.feedback import model_problem, repetition_problem, reporter_problem
from ledger.records import Evidence
from ledger.subject import Problems, Subject


def evidence_order(s: Subject) -> Problems:
    """Rule P45: one piece per member, ascending."""
    numbers = [each.first.signer for each in s.block.evidence]
    if numbers != sorted(set(numbers)):
        yield "evidence", f"expected one piece per member in member order, got {numbers}"


def evidence_place(s: Subject) -> Problems:
    """Rule P45: both statements are of one member, kind, height and view."""
    for field, each in _evidence(s):
        problem = place_problem(each)
        if problem is not None:
            yield field, problem


def evidence_content(s: Subject) -> Problems:
    """Rule P45: they differ, the smaller first."""
    for field, each in _evidence(s):
        problem = content_problem(each)
        if problem is not None:
            yield field, problem


def evidence_height(s: Subject) -> Problems:
    """Rule P45: of one of the last heights."""
    for field, each in _evidence(s):
        problem = height_problem(each, s.height)
        if problem is not None:
            yield field, problem


def evidence_role(s: Subject) -> Problems:
    """Rule P45: of a member that could say it and is not banned."""
    for field, each in _evidence(s):
        problem = role_problem(s.contract, s.state.banned, each)
        if problem is not None:
            yield field, problem


def evidence_signatures(s: Subject) -> Problems:
    """Rule P45: the accused signed both."""
    for field, each in _evidence(s):
        for signed in (each.first, each.second):
            _, _, stated, _ = place_of(signed)
            yield from s.signature_problem(signed, member=signed.signer, field=field, height=stated)


def evidence_rest(s: Subject) -> Problems:
    """Rule P45: somebody is left to vote."""
    together = {*s.state.banned, *accused(s.block.evidence)}
    if s.block.evidence and not validators_left(s.contract, together):
        yield "evidence", "expected at least one validator to be left, got none"


def evidence_admitted(s: Subject) -> Problems:
    """Rule P81: the accused was a member at that height."""
    for field, each in _evidence(s):
        problem = admission_problem(s.state.membership, each)
        if problem is not None:
            yield field, problem


def _evidence(s: Subject) -> Iterator[tuple[str, Evidence]]:
    for each in s.block.evidence:
        yield f"evidence[{each.first.signer}]", each


def metrics_order(s: Subject) -> Problems:
    """Rule P16: one per height and member, ascending."""
    places = [(each.statement.height, each.signer) for each in s.block.metrics]
    if places != sorted(set(places)):
        yield "metrics", f"expected one per height and member, in this order, got {places}"


def metrics_model(s: Subject) -> Problems:
    """Rule P16: of a model that is still open to them, compared with the right one."""
    for each in s.block.metrics:
        problem = model_problem(s.contract, s.state, each.statement)
        if problem is not None:
            yield f"metrics[{each.signer}]", problem


def metrics_role(s: Subject) -> Problems:
    """Rule P16: of a validator with a hold-out."""
    for each in s.block.metrics:
        problem = reporter_problem(s.contract, s.state, each.signer)
        if problem is not None:
            yield f"metrics[{each.signer}]", problem


def metrics_once(s: Subject) -> Problems:
    """Rule P16: a member judges a model once."""
    for each in s.block.metrics:
        problem = repetition_problem(s.state, each)
        if problem is not None:
            yield f"metrics[{each.signer}]", problem


def metrics_signatures(s: Subject) -> Problems:
    """Rule P3: the member signed them, after the block that made the model."""
    for each in s.block.metrics:
        yield from s.signature_problem(
            each,
            member=each.signer,
            field=f"metrics[{each.signer}]",
            height=each.statement.said_at,
        )
