"""Forged ledgers, made to fit in every id, root, link and in every signature the forger can make.

The forger holds the keys of as many members as the contract's Byzantine budget says. Each field of
each record of an export and of a genesis is forged in turn; the table says which rule finds it.
"""

from dataclasses import replace
from functools import cache

import pytest

from ledger.__main__ import verify
from ledger.audit_report import AuditReport
from ledger.errors import ContractError
from ledger.genesis import Continues, Genesis
from ledger.genesis_rules import check_contract
from ledger.records import Block, BlockKind, QuorumCertificate
from tests.ledger.test_forged_operations import OPERATION_PATHS
from tests.support.evidence import KINDS, proof
from tests.support.fields import changed, paths
from tests.support.forgery import (
    Forgery,
    continue_after,
    forge_certificate,
    forge_field,
    history,
    votes_certificate,
)
from tests.support.ledger import Chain, chain, contract, empty_chain, genesis, keys
from tests.support.sealing import reseal

FORGED, EMPTY, TIP = 3, 4, 5
"""Heights of `history`: an AGGREGATE block in the middle, an EMPTY one, the last one."""
BYZANTINE = 0
"""The member whose key the forger holds; it sends the first update and the first HAVE."""

# A forger that is a validator may itself list what it likes and may change what only a quorum can
# attest: then the certificate of the forged block is what is wrong, seen in the block after it.
CERTIFICATE = (FORGED + 1, "last_certificate", "P51")
UNREADABLE = (FORGED, "export", "P2")
BLOCK_FINDINGS = {
    "header.version": (FORGED, "version", "P50"),
    "header.chain_id": (FORGED, "chain_id", "P1"),
    "header.height": (FORGED, "height", "P50"),
    "header.training_round": (FORGED, "training_round", "P50"),
    "header.kind": (FORGED, "kind", "P15"),
    "header.parent_id": (FORGED, "parent_id", "P50"),
    "header.time_ms": CERTIFICATE,
    "header.proposer": (FORGED, "proposer", "P44"),
    "header.created_view": (FORGED, "proposer", "P44"),
    "header.rule_id": (FORGED, "rule_id", "P50"),
    "header.rule_parameters_hash": (FORGED, "rule_parameters_hash", "P50"),
    "header.base_model_id": (FORGED, "base_model_id", "P50"),
    "header.results.model_id": CERTIFICATE,
    "header.results.optimizer_id": CERTIFICATE,
    "header.results.contributions": (FORGED, "results.contributions", "P12"),
    "header.results.contributions[].trainer": (FORGED, "results.contributions", "P12"),
    "header.results.contributions[].weight": (FORGED, "results.contributions[0].weight", "P42"),
    "header.results.contributions[].flagged": CERTIFICATE,
    "header.updates_root": (FORGED, "updates_root", "P50"),
    "header.haves_root": (FORGED, "haves_root", "P50"),
    "header.metrics_root": (FORGED, "metrics_root", "P50"),
    "header.evidence_root": (FORGED, "evidence_root", "P50"),
    "header.operations_root": (FORGED, "operations_root", "P50"),
    "header.last_certificate_hash": (FORGED, "last_certificate_hash", "P50"),
    "header.validators_hash": (FORGED, "validators_hash", "P41"),
    "header.next_validators_hash": (FORGED, "next_validators_hash", "P41"),
    "header.state_root": (FORGED, "state_root", "P52"),
    "header.log_root": (FORGED, "log_root", "P55"),
    "haves": CERTIFICATE,
    "haves[].statement.height": (FORGED, "haves[0].height", "P11"),
    "haves[].statement.entries": CERTIFICATE,
    "haves[].statement.entries[].trainer": UNREADABLE,
    "haves[].statement.entries[].header_digest": CERTIFICATE,
    "haves[].signer": (FORGED, "haves[1]", "P3"),
    "haves[].signature": (FORGED, "haves[0]", "P3"),
    "updates": (FORGED, "updates", "P12"),
    "updates[].statement.trainer": (FORGED, "updates", "P12"),
    "updates[].statement.height": (FORGED, "updates", "P12"),
    "updates[].statement.training_round": (FORGED, "updates", "P12"),
    "updates[].statement.base_model_id": (FORGED, "updates", "P12"),
    "updates[].statement.update_id": (FORGED, "updates", "P12"),
    "updates[].statement.codec": UNREADABLE,
    "updates[].statement.n_elements": (FORGED, "updates", "P12"),
    "updates[].statement.releases": (FORGED, "updates", "P12"),
    "updates[].signer": (FORGED, "updates[0]", "P3"),
    "updates[].signature": (FORGED, "updates[0]", "P3"),
    "last_certificate": (FORGED, "last_certificate", "P51"),
    "last_certificate[].phase": (FORGED, "last_certificate.phase", "P51"),
    "last_certificate[].height": (FORGED, "last_certificate.height", "P51"),
    "last_certificate[].view": (FORGED, "last_certificate", "P51"),
    "last_certificate[].valid_view": UNREADABLE,
    "last_certificate[].block_id": (FORGED, "last_certificate.block_id", "P51"),
    "last_certificate[].bitmap": UNREADABLE,
    "last_certificate[].signatures": UNREADABLE,
    "last_certificate[].signatures[]": (FORGED, "last_certificate", "P51"),
}
METRICS_FINDINGS = {
    "metrics": CERTIFICATE,
    "metrics[].statement.height": (FORGED, "metrics[0]", "P16"),
    "metrics[].statement.model_id": (FORGED, "metrics[0]", "P16"),
    "metrics[].statement.best_id": (FORGED, "metrics[0]", "P16"),
    "metrics[].statement.value": CERTIFICATE,
    "metrics[].statement.best_value": CERTIFICATE,
    "metrics[].signer": (FORGED, "metrics[1]", "P3"),
    "metrics[].signature": (FORGED, "metrics[0]", "P3"),
}
EVIDENCE_FIELDS = {
    "DoubleUpdate": [
        "trainer",
        "height",
        "training_round",
        "base_model_id",
        "update_id",
        "codec",
        "n_elements",
        "releases",
    ],
    "DoubleHave": ["height", "entries", "entries[].trainer", "entries[].header_digest"],
    "DoubleProposal": ["height", "view", "valid_view", "block_id"],
    "DoubleVote": ["phase", "height", "view", "valid_view", "block_id"],
}
EVIDENCE_PATHS = [
    f"evidence[].{variant}.{one}.{field}"
    for variant, names in EVIDENCE_FIELDS.items()
    for one in ("first", "second")
    for field in (*(f"statement.{name}" for name in names), "signer", "signature")
]
EMPTY_FINDINGS = {
    "header.kind": (EMPTY, "kind", "P15"),
    "header.created_view": (EMPTY, "proposer", "P44"),
    "header.results.model_id": (EMPTY, "results.model_id", "P15"),
    "header.results.optimizer_id": (EMPTY, "results.optimizer_id", "P15"),
}
CERTIFICATE_FINDINGS = {
    "phase": (TIP, "certificate.phase", "P51"),
    "height": (TIP, "certificate.height", "P51"),
    "view": (TIP, "certificate", "P51"),
    "valid_view": (TIP + 1, "export", "P2"),
    "block_id": (TIP, "certificate.block_id", "P51"),
    "bitmap": (TIP + 1, "export", "P2"),
    "signatures": (TIP + 1, "export", "P2"),
    "signatures[]": (TIP, "certificate", "P51"),
}


@cache
def honest() -> Chain:
    return history(TIP)


@cache
def honest_genesis() -> Genesis:
    return genesis(honest().contract, honest().keys)


def audit_of(forgery: Forgery, of: Genesis | None = None) -> AuditReport:
    return verify(of or honest_genesis(), forgery.export, None)


def found(report: AuditReport) -> set[tuple[int, str, str]]:
    assert all(each.text for each in report.findings)
    return {(each.height, each.field, each.rule) for each in report.findings}


def test_the_honest_ledger_holds_and_is_not_trivial() -> None:
    made = honest()

    report = audit_of(Forgery(blocks=tuple(made.blocks), certificate=made.certificate))

    assert report.findings == ()
    kinds = [block.header.kind for block in made.blocks]
    assert (kinds[FORGED - 1], kinds[EMPTY - 1]) == (BlockKind.AGGREGATE, BlockKind.EMPTY)
    assert made.contract.byzantine_budget == 1


def test_every_field_of_a_block_and_a_certificate_has_a_forgery() -> None:
    carried = ["evidence", *EVIDENCE_PATHS, *OPERATION_PATHS, *METRICS_FINDINGS]
    assert list(paths(Block)) == [*BLOCK_FINDINGS, *carried]
    assert list(paths(QuorumCertificate)) == list(CERTIFICATE_FINDINGS)


@pytest.mark.parametrize("path", [*BLOCK_FINDINGS, *METRICS_FINDINGS])
def test_a_forged_field_of_a_block_is_found_by_its_rule(path: str) -> None:
    forgery = forge_field(honest(), FORGED, path, {BYZANTINE: honest().keys[BYZANTINE]})

    report = audit_of(forgery)

    assert forgery.export != Forgery(blocks=tuple(honest().blocks), certificate=None).export
    assert (BLOCK_FINDINGS | METRICS_FINDINGS)[path] in found(report)


@cache
def slashing(kind: str) -> Chain:
    """Seven members; the block in the middle bans the member whose key the forger holds."""
    made = empty_chain(contract(7), keys(7))
    for height in range(1, TIP + 1):
        evidence = (proof(made, BYZANTINE, kind),) if height == FORGED else ()
        made.add(made.build(evidence=evidence))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_honest_ledger_with_evidence_holds(kind: str) -> None:
    made = slashing(kind)

    report = verify(
        genesis(made.contract, made.keys),
        Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export,
        None,
    )

    assert report.findings == ()
    assert made.state.banned == (BYZANTINE,)


@pytest.mark.parametrize("path", ["evidence", *EVIDENCE_PATHS])
def test_forged_evidence_is_found_and_never_accuses_with_a_held_key_alone(path: str) -> None:
    """The forger holds no key of a member that it could accuse, and cannot take a ban back."""
    kind = {"DoubleUpdate": "UPDATE", "DoubleHave": "HAVE", "DoubleProposal": "PROPOSAL"}.get(
        path.split(".")[1] if "." in path else "", "COMMIT"
    )
    made = slashing(kind)

    forgery = forge_field(made, FORGED, path, {})

    report = verify(genesis(made.contract, made.keys), forgery.export, None)
    # A COMMIT has no valid view and there is one codec: these forgeries cannot be read.
    is_unreadable = path.endswith(".codec") or ("Vote." in path and path.endswith("valid_view"))
    rule = "P2" if is_unreadable else "P45"
    expected = (FORGED + 1, "P51") if path == "evidence" else (FORGED, rule)
    assert expected in {(each.height, each.rule) for each in report.findings}


@pytest.mark.parametrize("path", EMPTY_FINDINGS)
def test_a_forged_field_of_an_empty_block_is_found_by_its_rule(path: str) -> None:
    forgery = forge_field(honest(), EMPTY, path, {BYZANTINE: honest().keys[BYZANTINE]})

    assert EMPTY_FINDINGS[path] in found(audit_of(forgery))


@pytest.mark.parametrize("path", CERTIFICATE_FINDINGS)
def test_a_forged_field_of_the_last_certificate_is_found_by_its_rule(path: str) -> None:
    forgery = forge_certificate(honest(), path, {BYZANTINE: honest().keys[BYZANTINE]})

    assert CERTIFICATE_FINDINGS[path] in found(audit_of(forgery))


@pytest.mark.parametrize("path", list(paths(Genesis)))
def test_a_forged_field_of_the_genesis_is_found_by_rule_p1(path: str) -> None:
    """The forger founds a chain of its own in the members' names; they did not consent to it."""
    base = continuing() if path.startswith("contract.continues") else honest_genesis()
    forged = changed(Genesis, base, path)
    assert isinstance(forged, Genesis)
    if not path.startswith("signatures"):
        consent = genesis(forged.contract, honest().keys).signatures[: BYZANTINE + 1]
        forged = replace(forged, signatures=consent + forged.signatures[BYZANTINE + 1 :])
    made = chain(1, of=forged.contract) if is_sound(forged) else honest()

    report = audit_of(Forgery(blocks=tuple(made.blocks), certificate=made.certificate), forged)

    assert not report.holds
    assert "P1" in {each.rule for each in report.findings if each.height == 0}
    assert all(each.field.startswith("genesis.") for each in report.findings if each.height == 0)


def continuing() -> Genesis:
    """The genesis of a chain that goes on from another one."""
    terms = honest().contract
    named = Continues(
        chain_id=bytes(32), height=1, block_id=bytes(32), model_id=terms.model.initial_model_id
    )
    return genesis(replace(terms, continues=(named,)), honest().keys)


def is_sound(forged: Genesis) -> bool:
    try:
        check_contract(forged.contract)
    except ContractError:
        return False
    return len(forged.contract.members) == len(honest().contract.members)


@pytest.mark.parametrize("n", [3, 4, 7, 10])
def test_a_fork_signed_by_just_under_a_quorum_is_refused(n: int) -> None:
    """Its content is valid in every field: only the power behind it is not.

    Of three members, who have equal powers, two are exactly two thirds and therefore too few.
    """
    made = history(2, n=n)
    state, fork = made.states[1], made.blocks[1]
    other = replace(fork, header=replace(fork.header, time_ms=fork.header.time_ms + 1))
    other = reseal(made.contract, state, other)
    powers = sorted(
        ((each.power, each.member) for each in state.validators.validators), reverse=True
    )
    signing: list[int] = []
    for power, member in powers:
        together = power + sum(state.validators.power_of(each) for each in signing)
        if not state.validators.has_quorum(together):
            signing.append(member)
    held = {member: made.keys[member] for member in signing}
    certificate = votes_certificate(other, state, held)

    report = audit_of(
        Forgery(blocks=(made.blocks[0], other), certificate=certificate),
        genesis(made.contract, made.keys),
    )

    assert len(signing) >= 2 * (n // 3)
    assert found(report) == {(2, "certificate", "P51")}
    assert "is no quorum" in report.findings[0].text
    lacking = next(member for _, member in powers if member not in signing)
    held[lacking] = made.keys[lacking]
    whole = votes_certificate(other, state, held)
    enough = Forgery(blocks=(made.blocks[0], other), certificate=whole)
    assert audit_of(enough, genesis(made.contract, made.keys)).holds


def test_blocks_that_are_left_out_moved_or_repeated_are_found() -> None:
    made = honest()
    first, second, third, *rest = made.blocks
    orders = [
        (second, third, *rest),
        (first, third, *rest),
        (first, third, second, *rest),
        (first, second, second, third, *rest),
    ]

    for order in orders:
        report = audit_of(Forgery(blocks=order, certificate=made.certificate))
        assert {"height", "parent_id"} <= {each.field for each in report.findings}


def test_a_prefix_with_its_own_certificate_holds_as_nobody_can_tell_from_it_alone() -> None:
    made = honest()

    report = audit_of(Forgery(blocks=tuple(made.blocks[:3]), certificate=made.certificates[2]))

    assert report.holds


def test_the_forger_with_all_keys_can_continue_any_block() -> None:
    """The measure of the forger itself: with every key its re-sealing leaves nothing to find."""
    made = honest()
    held = dict(enumerate(made.keys))
    header = replace(made.blocks[0].header, time_ms=made.blocks[0].header.time_ms + 1)
    block = reseal(made.contract, made.states[0], replace(made.blocks[0], header=header))

    assert audit_of(continue_after(made, (block,), held)).findings == ()
