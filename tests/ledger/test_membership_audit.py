"""Auditors, proofs and views follow members, keys and terms of a whole chain (P54, P55, P81)."""

import json
from dataclasses import replace
from functools import cache

import pytest

from ledger.anchors import Anchor, check_anchor, make_anchor
from ledger.audit import audit
from ledger.audit_report import report_data, report_lines
from ledger.comparison import first_difference
from ledger.deep import Weighted, recompute_all
from ledger.encoding import decode, encode
from ledger.export import read_export
from ledger.genesis import updates_needed
from ledger.inspection import chain_views, network_view, state_view
from ledger.keys import sign
from ledger.membership import Standing, contract_in_force
from ledger.merkle import ProofError
from ledger.proof_report import proven_data, proven_lines
from ledger.proofs import Chain as Ledger
from ledger.proofs import UpdateProof, check_update_proof, prove_update
from ledger.records import Block, Results
from ledger.state import State
from tests.support.evidence import proof
from tests.support.forgery import Forgery
from tests.support.ledger import Chain, contract, empty_chain, genesis, keys
from tests.support.members import (
    admit,
    carry,
    change,
    evict,
    leave,
    new_key,
    pend,
    ready,
    rotate_key,
)

ROTATED, NEWCOMER, LEFT, EVICTED, BANNED, LAPSED = 1, 7, 2, 3, 4, 9


@cache
def eventful() -> Chain:
    """Seven founders: one leaves, one is evicted, one banned, one rotates its key, two join.

    A JOIN is taken back, the rule of aggregation changes, and a founder comes back.
    """
    made = empty_chain(contract(7), keys(7))
    made.add(made.build())
    assert admit(made, "new") == NEWCOMER
    made.add(made.build())
    rotate_key(made, ROTATED, "rotated")
    made.add(made.build())
    carry(made, leave(made, LEFT), evict(made, EVICTED))
    made.add(made.build(evidence=(proof(made, BANNED),)))
    rule = replace(made.contract.aggregation, rule_id="nnm-geometric-median")
    carry(made, change(made, lambda terms: replace(terms, aggregation=rule, byzantine_budget=1)))
    assert admit(made, "hospital-2") == NEWCOMER + 1
    carry(made, evict(made, pend(made, "late")))
    made.add(made.build(evidence=(proof(made, ROTATED),)))
    for _ in range(2):
        made.add(made.build())
    return made


def export_of(made: Chain) -> bytes:
    return Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export


def test_the_export_and_the_genesis_are_enough_to_audit_all_changes() -> None:
    made = eventful()
    blocks, certificate = read_export(export_of(made))

    report = audit(genesis(made.contract, keys(7)), blocks, certificate)

    assert report.findings == ()
    assert [each.standing for each in report.members] == [
        Standing.ACTIVE,
        Standing.ACTIVE,
        Standing.GONE,
        Standing.GONE,
        Standing.ACTIVE,
        Standing.ACTIVE,
        Standing.ACTIVE,
        Standing.ACTIVE,
        Standing.ACTIVE,
        Standing.LAPSED,
    ]
    assert report.signers == made.states[-2].validators.members == (0, 5, 6, 7, 8)


def test_an_audit_says_who_joined_and_who_is_gone() -> None:
    made = eventful()

    report = audit(genesis(made.contract, keys(7)), made.blocks, made.certificate)
    text, data = "\n".join(report_lines(report)), report_data(report)

    assert "7 new (trainer, validator, admitted at height 3)" in text
    assert "2 hospital-2 (trainer, validator, gone)" in text
    assert "9 late (trainer, validator, lapsed)" in text
    assert f"key {new_key('rotated', made.keys[0]).public_key.hex()}" in text
    assert json.loads(json.dumps(data))["members"][NEWCOMER]["admitted"] == 3


def test_a_certificate_is_checked_with_the_keys_of_its_height() -> None:
    """Who rotates its key in a block signs that block's certificate with the old one."""
    made = eventful()
    at = next(h for h, each in enumerate(made.states) if each.membership.retired)
    head = made.blocks[:at]

    whole = audit(genesis(made.contract, keys(7)), head, made.certificates[at - 1])
    following = audit(genesis(made.contract, keys(7)), made.blocks[: at + 1], made.certificates[at])

    assert whole.findings == following.findings == ()
    assert ROTATED in whole.signers
    assert ROTATED in following.signers


@pytest.mark.parametrize("height", range(1, 17))
def test_every_height_is_believed_from_the_genesis(height: int) -> None:
    made = eventful()
    anchor = make_anchor(made.contract, made.blocks, made.certificate, height)

    anchored = check_anchor(made.contract, decode(Anchor, encode(anchor)))

    assert anchored.header == made.blocks[height - 1].header
    assert anchored.signers == made.states[height - 1].validators.members


def test_a_step_with_other_keys_than_those_known_is_not_believed() -> None:
    """A forger gives the members' numbers keys of its own: nobody who is trusted signed."""
    made = eventful()
    forged = empty_chain(
        replace(
            made.contract,
            members=tuple(
                replace(member, public_key=key.public_key)
                for member, key in zip(made.contract.members, keys(7, seed=99), strict=True)
            ),
        ),
        keys(7, seed=99),
    )
    forged.states[0] = replace(
        forged.states[0], chain_id=made.state.chain_id, tip_id=made.state.chain_id
    )
    for _ in range(4):
        forged.add(forged.build())
    anchor = make_anchor(forged.contract, forged.blocks, forged.certificate, 4)
    step = replace(anchor.steps[-1], header=forged.blocks[3].header)

    with pytest.raises(ProofError, match="signed by no quorum of the validators of height 1"):
        check_anchor(made.contract, Anchor(steps=(step,), log=forged.state.log))


def proof_of(height: int, member: int) -> UpdateProof:
    made = eventful()
    ledger = Ledger(contract=made.contract, blocks=made.blocks, certificate=made.certificate)
    return decode(UpdateProof, encode(prove_update(ledger, height=height, member=member)))


@pytest.mark.parametrize(
    ("height", "member", "name"),
    [(4, NEWCOMER, "new"), (4, ROTATED, "hospital-1"), (6, ROTATED, "hospital-1"), (1, LEFT, "h")],
)
def test_updates_of_newcomers_and_under_rotated_keys_are_proven(
    height: int, member: int, name: str
) -> None:
    made = eventful()

    proven = check_update_proof(made.contract, proof_of(height, member))

    assert proven.update.signer == member
    assert str(proven_data(proven)["name"]).startswith(name)
    assert any(f"of member {member} {name}" in line for line in proven_lines(made.contract, proven))


def test_a_proof_with_another_state_is_refused() -> None:
    """Else a forger could name its own key as the member's."""
    made, honest = eventful(), proof_of(4, NEWCOMER)
    forger = keys(1, seed=5)[0]
    members = list(honest.state.membership.members)
    member = replace(members[NEWCOMER].member, public_key=forger.public_key)
    members[NEWCOMER] = replace(members[NEWCOMER], member=member)
    membership = replace(honest.state.membership, members=tuple(members))
    update = sign(honest.update.statement, forger, signer=NEWCOMER, chain_id=made.state.chain_id)
    forged = replace(honest, state=replace(honest.state, membership=membership), update=update)
    own_update = replace(forged, update=honest.update)
    other_tip = replace(honest, state=replace(honest.state, tip_id=bytes(32)))

    for each in (own_update, other_tip):
        with pytest.raises(ProofError, match="not the one after the proven block"):
            check_update_proof(made.contract, each)
    with pytest.raises(ProofError, match="does not carry this update"):
        check_update_proof(made.contract, forged)


def test_a_deep_audit_recomputes_each_training_round_under_its_own_terms() -> None:
    made = eventful()
    rules = []

    def recompute(
        state: State, weighted: Weighted, _: bytes, __: tuple[bytes, ...]
    ) -> tuple[Results, bytes]:
        results = made.blocks[state.height].header.results
        counted = [(each.trainer, each.weight) for each in results.contributions]
        assert [(update.signer, weight) for update, weight in weighted] == counted
        rules.append(contract_in_force(made.contract, state).aggregation.rule_id)
        return results, b""

    outcome = recompute_all(made.contract, made.blocks, lambda _: b"", recompute)

    assert outcome.is_complete
    assert outcome.findings == ()
    changed = rules.index("nnm-geometric-median")
    assert (set(rules[:changed]), set(rules[changed:])) == ({"mean"}, {"nnm-geometric-median"})


def test_views_show_operations_and_standings() -> None:
    made = eventful()

    views = list(chain_views(made.contract, made.blocks, made.certificate))
    shown = json.loads(
        json.dumps({"blocks": views, "state": state_view(made.contract, made.state)})
    )

    kinds = [each["operation"] for view in shown["blocks"] for each in view["operations"]]
    assert sorted(set(kinds)) == ["EVICT", "JOIN", "LEAVE", "ROTATE", "TERMS"]
    admitted = [each["name"] for view in shown["blocks"] for each in view["readies"]]
    assert admitted == ["new", "hospital-2"]
    assert shown["state"]["members"][LAPSED]["standing"] == "LAPSED"
    assert shown["blocks"][-1]["votes"]["absent"] == []


def test_a_difference_of_operations_is_named() -> None:
    made = eventful()
    at = next(i for i, each in enumerate(made.blocks) if each.operations)
    other = made.blocks[at]
    without: list[Block] = [*made.blocks[:at], replace(other, operations=())]

    found = first_difference(made.blocks[: at + 1], without)

    assert found is not None
    assert [(each.field, each.left, each.right) for each in found.fields] == [
        ("operations", "JOIN", "none")
    ]


def test_a_ready_of_the_audited_chain_names_a_block_of_it() -> None:
    made = eventful()
    number = next(i for i, each in enumerate(made.blocks) if each.readies)

    (said,) = made.blocks[number].readies

    assert said == ready_again(made, number)


def ready_again(made: Chain, index: int) -> object:
    part = Chain(
        contract=made.contract,
        keys=[*keys(7), new_key("new", made.keys[0])],
        states=made.states[: index + 1],
        blocks=made.blocks[:index],
        certificates=made.certificates[:index],
    )
    return ready(part, NEWCOMER)


def test_the_network_is_shown_as_it_is_now() -> None:
    """Rule P81: founders and newcomers, where they stand, their keys, the terms in force."""
    made = eventful()

    shown = network_view(made.contract, made.state)

    members = [each for each in shown["members"] if isinstance(each, dict)]  # type: ignore[union-attr]  # a list
    gone = {each["number"]: each["standing"] for each in members if each["standing"] != "ACTIVE"}
    assert gone == {LEFT: "GONE", EVICTED: "GONE", LAPSED: "LAPSED"}
    assert [each["number"] for each in members if each["is_banned"]] == [ROTATED, BANNED]
    assert members[NEWCOMER]["name"] == "new"
    assert members[LEFT]["samples"] == made.contract.members[LEFT].samples
    assert members[ROTATED]["public_key"] == made.state.membership.public_keys[ROTATED].hex()
    assert members[ROTATED]["public_key"] != made.contract.members[ROTATED].public_key.hex()
    assert shown["rule"] == "nnm-geometric-median"
    assert shown["chain_id"] == made.state.chain_id.hex()
    # Of seven that are active two are banned.
    assert shown["trainers_that_may_be_silent"] == 5 - updates_needed(made.in_force)
