"""Each check of the audit is needed: without it, some forgery made with every key would pass.

The forgeries break one rule and obey all others, so that only one check stands in their way.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from ledger.audit import AUDIT_CHECKS, AuditCheck, audit
from ledger.building import (
    Draft,
    aggregate_results,
    build_block,
    expected_weights,
    unchanged_results,
)
from ledger.certificates import make_certificate
from ledger.genesis import Genesis, Role
from ledger.keys import Key, Signed, sign
from ledger.merkle import EMPTY_ROOT
from ledger.records import (
    FRESH,
    ZERO_DIGEST,
    Block,
    BlockHeader,
    BlockKind,
    Evidence,
    Flag,
    HaveList,
    Phase,
    QuorumCertificate,
    UpdateHeader,
    Vote,
    block_id,
)
from ledger.state import State, apply
from ledger.validity import CHECKS, Check
from tests.support.bad_evidence import Forge, half_signed, of_one_statement, of_two_members
from tests.support.bad_metrics import Forge as ForgeMetrics
from tests.support.bad_metrics import made_up, of_another_model, said_before
from tests.support.bad_operations import BAD_OPERATIONS, before_admission
from tests.support.evidence import proof
from tests.support.feedback import reports, with_feedback
from tests.support.fields import with_field
from tests.support.forgery import Forgery, votes_certificate
from tests.support.ledger import (
    Chain,
    chain,
    contract,
    digest,
    empty_chain,
    genesis,
    have,
    keys,
    update,
    with_roles,
)
from tests.support.sealing import reseal

ALL: tuple[Check | AuditCheck, ...] = (*CHECKS, *AUDIT_CHECKS)
EVIDENCE_ADMITTED = 44
OTHER = digest("something else")
Case = tuple[Genesis, Forgery]


def grown() -> Chain:
    """Two honest blocks, the second created in view 1."""
    made = empty_chain(with_feedback(contract(4), range(3)), keys(4))
    made.add(made.build())
    made.add(made.build(view=1))
    return made


def certified(
    state: State,
    identity: bytes,
    *,
    phase: Phase = Phase.COMMIT,
    view: int,
    height: int,
    signing: Sequence[Key] = keys(4),
) -> QuorumCertificate:
    """A certificate by everybody for whatever vote."""
    vote = Vote(phase=phase, height=height, view=view, valid_view=FRESH, block_id=identity)
    votes = [
        sign(vote, key, signer=i, chain_id=state.chain_id)
        for i, key in enumerate(signing)
        if i in state.validators.members
    ]
    return make_certificate(votes, state.validators)


def ending(made: Chain, block: Block) -> Case:
    """The ledger of a chain with one more block, whatever it says, certified by everybody."""
    after = apply(made.contract, made.state, block)
    view = block.header.created_view
    certificate = certified(
        made.state,
        block_id(block.header),
        view=view,
        height=after.height,
        signing=made.keys,
    )
    forgery = Forgery(blocks=(*made.blocks, block), certificate=certificate)
    return genesis(made.contract, keys(len(made.contract.members))), forgery


def header_case(**changes: object) -> Case:
    """The last block with other header fields and all that follows from them."""
    made = grown()
    block = made.build()
    header: object = block.header
    for name, value in changes.items():
        header = with_field(header, name, value)
    assert isinstance(header, BlockHeader)
    sealed = reseal(made.contract, made.state, replace(block, header=header))
    for name, value in changes.items():
        header = with_field(sealed.header, name, value)
        assert isinstance(header, BlockHeader)
        sealed = replace(sealed, header=header)
    return ending(made, sealed)


def results_case(**changes: object) -> Case:
    """The last block with other results."""
    results = with_fields(grown().build().header.results, **changes)
    return header_case(results=results)


def with_fields(record: object, **changes: object) -> object:
    for name, value in changes.items():
        record = with_field(record, name, value)
    return record


def draft_case(made: Chain, draft: Draft) -> Case:
    return ending(made, build_block(made.contract, made.state, draft))


def statements(made: Chain) -> tuple[list[Signed[UpdateHeader]], list[Signed[HaveList]]]:
    """Everybody's update, and everybody's HAVE of all of them."""
    held = dict(enumerate(made.keys))
    updates = [update(made.contract, made.state, i, key) for i, key in held.items()]
    return updates, [have(made.state, i, key, updates) for i, key in held.items()]


def body_case(
    *,
    haves: Callable[[list[Signed[HaveList]]], list[Signed[HaveList]]] = list,
    updates: Callable[[list[Signed[UpdateHeader]]], list[Signed[UpdateHeader]]] = list,
) -> Case:
    """The last block with other HAVEs or update headers, sealed over them."""
    made = grown()
    block = made.build()
    changed = replace(
        block,
        haves=tuple(haves(list(block.haves))),
        updates=tuple(updates(list(block.updates))),
    )
    return ending(made, reseal(made.contract, made.state, changed))


def unsigned(signed: Signed[HaveList]) -> Signed[HaveList]:
    return replace(signed, signature=bytes(64))


def empty_although_enough() -> Case:
    made = grown()
    block = made.build()
    draft = Draft(
        view=0,
        kind=BlockKind.EMPTY,
        time_ms=block.header.time_ms,
        haves=block.haves,
        updates=block.updates,
        last_certificate=made.certificate,
        results=unchanged_results(made.state),
    )
    return draft_case(made, draft)


def finished_chain_goes_on() -> Case:
    made = empty_chain(contract(4, training_rounds=2), keys(4))
    for _ in range(2):
        made.add(made.build())
    return ending(made, made.build())


def one_header_left_out() -> Case:
    """The proposer drops an update that all HAVEs vouch for, and aggregates the others."""
    made = grown()
    updates, haves = statements(made)
    weighted = expected_weights(made.contract, made.state, haves, updates[1:])
    results = aggregate_results(
        weighted, [Flag.REGULAR] * 3, model_id=OTHER, optimizer_id=made.state.optimizer_id
    )
    draft = Draft(
        view=0,
        kind=BlockKind.AGGREGATE,
        time_ms=made.state.time_ms + 1,
        haves=tuple(haves),
        updates=tuple(updates[1:]),
        last_certificate=made.certificate,
        results=results,
    )
    return draft_case(made, draft)


def another_have_height() -> Case:
    made = grown()
    block = made.build()
    (first, *others) = block.haves
    later = replace(first.statement, height=first.statement.height + 1)
    anew = sign(later, made.keys[0], signer=0, chain_id=made.state.chain_id)
    changed = replace(block, haves=(anew, *others))
    return ending(made, reseal(made.contract, made.state, changed))


def empty_with_a_new_model() -> Case:
    made = grown()
    block = made.build(view=5)
    results = replace(block.header.results, model_id=OTHER)
    header = replace(block.header, results=results)
    return ending(made, reseal(made.contract, made.state, replace(block, header=header)))


def last_certificate_case(*certificates: QuorumCertificate) -> Case:
    made = grown()
    changed = replace(made.build(), last_certificate=tuple(certificates))
    return ending(made, reseal(made.contract, made.state, changed))


def of_parent(**changes: object) -> QuorumCertificate:
    """Everybody's certificate for the parent of the last block, or nearly."""
    made = grown()
    claims = {"view": 1, "height": 2, **changes}
    return certified(made.states[1], made.state.tip_id, **claims)  # type: ignore[arg-type]


def under_quorum() -> QuorumCertificate:
    made = grown()
    return votes_certificate(made.blocks[1], made.states[1], {i: made.keys[i] for i in (0, 1)})


def contract_case() -> Case:
    made = chain(1, of=replace(contract(4), privacy="masks of a later release"))
    forgery = Forgery(blocks=tuple(made.blocks), certificate=made.certificate)
    return genesis(made.contract, made.keys), forgery


def consent_case() -> Case:
    made = grown()
    forgery = Forgery(blocks=tuple(made.blocks), certificate=made.certificate)
    return Genesis(contract=made.contract, signatures=()), forgery


def tip_case(certificate: QuorumCertificate | None) -> Case:
    made = grown()
    forgery = Forgery(blocks=tuple(made.blocks), certificate=certificate)
    return genesis(made.contract, made.keys), forgery


def evidence_case(forge: Forge) -> Case:
    """The last block with evidence that breaks one rule."""
    made = grown()
    return ending(made, made.build(evidence=forge(made)))


def metrics_case(forge: ForgeMetrics) -> Case:
    """The last block with METRICS that break one rule."""
    made = grown()
    metrics = forge(made)
    return ending(made, made.build(metrics=metrics))


def in_wrong_order(made: Chain) -> tuple[Evidence, ...]:
    return proof(made, 2), proof(made, 1)


def of_a_height_to_come(made: Chain) -> tuple[Evidence, ...]:
    return (proof(made, 1, height=9),)


def against_the_banned(made: Chain) -> tuple[Evidence, ...]:
    """A member that is banned cannot be banned again."""
    made.add(made.build(evidence=(proof(made, 3),)))
    return (proof(made, 3, "PREPARE"),)


def against_everybody(made: Chain) -> tuple[Evidence, ...]:
    return tuple(proof(made, each) for each in range(4))


def operations_case(number: int) -> Case:
    """The first forgery of operations that this check finds, signed with Ed25519."""
    terms = with_roles(contract(5, trainer_budget=1, training_rounds=100), {4: Role.TRAINER})
    made = empty_chain(terms, keys(5))
    for _ in range(2):
        made.add(made.build())
    if number == EVIDENCE_ADMITTED:
        return ending(made, made.build(evidence=before_admission(made)))
    forge = next(forge for check, _, forge in BAD_OPERATIONS if check == number)
    return ending(made, forge(made))


CASES: dict[str, Callable[[], Case]] = {
    "_version": lambda: header_case(version=2),
    "_chain": lambda: header_case(chain_id=OTHER),
    "_height": lambda: header_case(height=7),
    "_parent": lambda: header_case(parent_id=OTHER),
    "_time": lambda: header_case(time_ms=grown().state.time_ms),
    "_is_open": finished_chain_goes_on,
    "_kind": empty_although_enough,
    "_training_round": lambda: header_case(training_round=9),
    "_proposer": lambda: header_case(proposer=(grown().build().header.proposer + 1) % 4),
    "_rule": lambda: header_case(rule_id="another rule"),
    "_base": lambda: header_case(base_model_id=OTHER),
    "_have_signers": lambda: body_case(haves=lambda haves: [haves[0], *haves]),
    "_have_content": another_have_height,
    "_have_signatures": lambda: body_case(haves=lambda haves: [unsigned(haves[0]), *haves[1:]]),
    "_have_quorum": lambda: body_case(haves=lambda haves: haves[:2]),
    "_vouched_headers": one_header_left_out,
    "_update_signatures": lambda: body_case(
        updates=lambda updates: [replace(updates[0], signature=bytes(64)), *updates[1:]]
    ),
    "_contributions": lambda: results_case(
        contributions=grown().build().header.results.contributions[1:]
    ),
    "_weights": lambda: results_case(
        contributions=tuple(
            replace(each, weight=each.weight + 1)
            for each in grown().build().header.results.contributions
        )
    ),
    "_unchanged": empty_with_a_new_model,
    "_roots": lambda: header_case(haves_root=EMPTY_ROOT),
    "_operations_root": lambda: header_case(operations_root=OTHER),
    "_certificate_presence": last_certificate_case,
    "_certificate_hash": lambda: header_case(last_certificate_hash=ZERO_DIGEST),
    "_certificate_subject": lambda: last_certificate_case(of_parent(phase=Phase.PREPARE)),
    "_certificate_view": lambda: last_certificate_case(of_parent(view=0)),
    "_certificate_quorum": lambda: last_certificate_case(under_quorum()),
    "_validators": lambda: header_case(validators_hash=OTHER),
    "_next_validators": lambda: header_case(next_validators_hash=OTHER),
    "_state_root": lambda: header_case(state_root=OTHER),
    "_log_root": lambda: header_case(log_root=OTHER),
    "evidence_order": lambda: evidence_case(in_wrong_order),
    "evidence_place": lambda: evidence_case(of_two_members),
    "evidence_content": lambda: evidence_case(of_one_statement),
    "evidence_height": lambda: evidence_case(of_a_height_to_come),
    "evidence_role": lambda: evidence_case(against_the_banned),
    "evidence_signatures": lambda: evidence_case(lambda made: half_signed(made, is_first=True)),
    "evidence_rest": lambda: evidence_case(against_everybody),
    "metrics_order": lambda: metrics_case(lambda made: reports(made, {1: 5, 2: 5})[::-1]),
    "metrics_model": lambda: metrics_case(of_another_model),
    "metrics_role": lambda: metrics_case(lambda made: reports(made, {3: 5})),
    "metrics_once": lambda: metrics_case(said_before),
    "metrics_signatures": lambda: metrics_case(made_up),
    **{
        check.find.__name__: partial(operations_case, check.number)
        for check in CHECKS[EVIDENCE_ADMITTED - 1 :]
    },
    "_terms": contract_case,
    "_consents": consent_case,
    "_tip_presence": lambda: tip_case(None),
    "_tip_subject": lambda: tip_case(of_parent(phase=Phase.PREPARE)),
    "_tip_view": lambda: tip_case(of_parent(view=0)),
    "_tip_quorum": lambda: tip_case(under_quorum()),
}


def test_every_check_has_a_forgery_that_only_it_finds() -> None:
    names = [check.find.__name__ for check in ALL]

    assert names == list(CASES)
    assert [check.number for check in CHECKS] == list(range(1, len(CHECKS) + 1))
    assert [check.number for check in AUDIT_CHECKS] == list(range(1, len(AUDIT_CHECKS) + 1))


@pytest.mark.parametrize("name", CASES)
def test_without_one_check_a_forgery_passes_that_the_check_finds(name: str) -> None:
    of, forgery = CASES[name]()

    whole = audit(of, forgery.blocks, forgery.certificate)
    lamed = audit(
        of,
        forgery.blocks,
        forgery.certificate,
        checks=[check for check in AUDIT_CHECKS if check.find.__name__ != name],
        block_checks=[check for check in CHECKS if check.find.__name__ != name],
    )

    assert lamed.findings == ()
    (check,) = [each for each in ALL if each.find.__name__ == name]
    assert check.rule in {each.rule for each in whole.findings}
