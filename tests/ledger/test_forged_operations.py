"""Forged operations and READYs in an export: each field is found (rules P54, P81)."""

from dataclasses import fields, replace
from functools import cache

import pytest

from ledger.__main__ import verify
from ledger.genesis import Timeouts
from tests.support.forgery import Forgery, forge_field
from tests.support.ledger import Chain, contract, empty_chain, genesis, keys
from tests.support.members import (
    carry,
    change,
    evict,
    join,
    leave,
    pend,
    ready,
    rotate_key,
)

FORGED, TIP = 3, 5
"""Heights of the block that changes something, and of the last one."""
TERMS_FIELDS = [
    "aggregation.mode",
    "aggregation.rule_id",
    "aggregation.parameters",
    "aggregation.parameters[].name",
    "aggregation.parameters[].value",
    "byzantine_budget",
    "trainer_budget",
    "min_updates",
    "max_staleness",
    "training_rounds",
    *(f"timeouts.{each.name}" for each in fields(Timeouts)),
    "limits.body_bytes_max",
    "limits.block_bytes_max",
]
OPERATION_FIELDS = {
    "Join": ["public_key", "name", "roles", "samples", "expiry", "possession"],
    "Leave": ["member", "admitted", "expiry"],
    "Evict": ["member", "admitted", "expiry"],
    "Rotate": ["member", "admitted", "public_key", "expiry", "possession"],
    "ChangeTerms": ["contract_hash", *(f"terms.{each}" for each in TERMS_FIELDS), "expiry"],
}
APPROVAL_FIELDS = ["statement.operation_id", "signer", "signature"]
READY_FIELDS = ["statement.height", "statement.block_id", "signer", "signature"]
OPERATION_PATHS = [
    "operations",
    *(
        f"operations[].operation.{variant}.{field}"
        for variant, names in OPERATION_FIELDS.items()
        for field in names
    ),
    "operations[].approvals",
    *(f"operations[].approvals[].{field}" for field in APPROVAL_FIELDS),
    "readies",
    *(f"readies[].{field}" for field in READY_FIELDS),
]


@cache
def changing(kind: str) -> Chain:
    """Seven members; the block in the middle changes members or terms."""
    made = empty_chain(contract(7), keys(7))
    for height in range(1, TIP + 1):
        if kind == "Ready" and height == FORGED - 1:
            pend(made, "new")
        elif height == FORGED:
            carry_one(made, kind)
        else:
            made.add(made.build())
    return made


def carry_one(made: Chain, kind: str) -> None:
    match kind:
        case "Join":
            carry(made, join(made, "new"))
        case "Leave":
            carry(made, leave(made, 6))
        case "Evict":
            carry(made, evict(made, 6))
        case "Rotate":
            rotate_key(made, 6, "rotated")
        case "ChangeTerms":
            carry(made, change(made, lambda terms: replace(terms, training_rounds=50)))
        case _:
            carry(made, readies=(ready(made, 7),))


@pytest.mark.parametrize("kind", [*OPERATION_FIELDS, "Ready"])
def test_the_honest_ledger_with_each_change_holds(kind: str) -> None:
    made = changing(kind)

    report = verify(
        genesis(made.contract, keys(7)),
        Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export,
        None,
    )

    assert report.findings == ()
    assert made.state.membership != made.states[0].membership


@pytest.mark.parametrize("path", OPERATION_PATHS)
def test_forged_changes_of_members_and_terms_are_found(path: str) -> None:
    """A forger without keys can neither change nor make up what a quorum or a newcomer signed."""
    variant = path.removeprefix("operations[].operation.").partition(".")[0]
    kind = "Ready" if path.startswith("readies") else variant
    made = changing(kind if kind in [*OPERATION_FIELDS, "Ready"] else "Evict")

    forgery = forge_field(made, FORGED, path, {})

    report = verify(genesis(made.contract, keys(7)), forgery.export, None)
    # What is left out whole, or one approval of more than needed, only the certificate shows.
    is_left_out = path in ("operations", "readies", "operations[].approvals")
    expected = (FORGED + 1, "P51") if is_left_out else (FORGED, "P81")
    assert expected in {(each.height, each.rule) for each in report.findings}
