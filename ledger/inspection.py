"""A ledger as plain data for the command line, JSON and the dashboard: no bytes, no records.

Everything shown follows from genesis and blocks alone; digests are hexadecimal text. Nothing is
checked here: `ledger.audit` does that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ledger.audit_report import Plain
from ledger.certificates import signers
from ledger.election import schedule
from ledger.evidence import evidence_key
from ledger.feedback import JudgedModel, hold_out_powers, weighted_median
from ledger.genesis import Contract
from ledger.genesis_rules import fault_tolerance
from ledger.inclusion import disqualification
from ledger.keys import Signed
from ledger.membership import contract_in_force
from ledger.metrics import MetricsReport
from ledger.operations import (
    Agreed,
    ChangeTerms,
    Evict,
    Join,
    Leave,
    Rotate,
    contract_hash,
    operation_id,
)
from ledger.powers import ValidatorSet
from ledger.records import Block, Evidence, Flag, QuorumCertificate, block_id
from ledger.reputation import SCALE
from ledger.state import State, apply, initial_state

View = dict[str, Plain]


def network_view(contract: Contract, state: State) -> View:
    """Return who takes part or did, the terms in force, and how many may fail (rules P81, P83).

    Args:
        contract: That of the genesis or of any height.
        state: The state after the last block.
    """
    contract = contract_in_force(contract, state)
    tolerance = fault_tolerance(_without_banned(contract, state))
    return {
        "chain_id": state.chain_id.hex(),
        "height": state.height,
        "name": contract.name,
        "continues": [
            {
                "chain_id": each.chain_id.hex(),
                "height": each.height,
                "block_id": each.block_id.hex(),
                "model_id": each.model_id.hex(),
            }
            for each in contract.continues
        ],
        "members": [_member_record(state, number) for number in range(len(state.scores))],
        "model": contract.model.architecture,
        "mode": contract.aggregation.mode,
        "rule": contract.aggregation.rule_id,
        "training_rounds": contract.training_rounds,
        "byzantine_budget": contract.byzantine_budget,
        "validators_that_may_be_silent": tolerance.silent_validators,
        "trainers_that_may_be_silent": max(0, tolerance.silent_trainers),
        "trainers_that_may_lie": tolerance.lying_trainers,
        "contract_hash": contract_hash(contract).hex(),
    }


def feedback_view(contract: Contract, blocks: Iterable[Block], height: int) -> View:
    """Return what members say of the model of a height, and which is the best one (rule P16).

    Args:
        contract: That of the genesis.
        blocks: Blocks 1 to H, in order.
        height: Height of the block that made the model; 0 for the initial one, which is not judged.
    """
    state = initial_state(contract)
    judged: View = {}
    for block in blocks:
        state = apply(contract, state, block)
        for model in state.judged:
            if model.height == height:
                judged = _judged(contract_in_force(contract, state), state, model)
    return {
        "best_height": state.best.height,
        "best_model_id": state.best.model_id.hex(),
        "returns": state.returns,
        "judged": judged,
    }


def state_view(contract: Contract, state: State) -> View:
    """Return where a chain stands: models, powers of the next height, reputations.

    Powers are shares of `total_power`; reputations are shares of `scale`.
    """
    contract = contract_in_force(contract, state)
    scores: list[Plain] = [
        {
            **_member(contract, number),
            "participation": each.participation,
            "proposing": each.proposing,
            "quality": each.quality,
            "power": state.validators.power_of(number),
            "is_banned": number in state.banned,
            "standing": state.membership.members[number].standing.name,
            "admitted": state.membership.members[number].admitted,
        }
        for number, each in enumerate(state.scores)
    ]
    return {
        "height": state.height,
        "block_id": state.tip_id.hex() if state.height else "",
        "training_round": state.training_round,
        "training_rounds": contract.training_rounds,
        "model_id": state.model_id.hex(),
        "best_model_id": state.best.model_id.hex(),
        "best_height": state.best.height,
        "returns": state.returns,
        "judged": [_judged(contract, state, each) for each in state.judged],
        "empties_in_row": state.empties_in_row,
        "time_ms": state.time_ms,
        "membership_epoch": state.membership_epoch,
        "scale": SCALE,
        "total_power": state.validators.total,
        "members": scores,
        "next_proposers": [_member(contract, each) for each in schedule(contract, state)],
        "contract_hash": contract_hash(contract).hex(),
    }


def block_view(
    contract: Contract, before: State, block: Block, certificate: QuorumCertificate | None
) -> View:
    """Return one block: what it did, who sent, listed, proposed and voted.

    Args:
        contract: That of the genesis or of any height.
        before: The state after the block's parent, which knows the validators.
        block: The block.
        certificate: The COMMIT certificate of this block; None when it is not at hand.
    """
    contract = contract_in_force(contract, before)
    header = block.header
    view: View = {
        "height": header.height,
        "block_id": block_id(header).hex(),
        "parent_id": header.parent_id.hex(),
        "kind": header.kind.name,
        "training_round": header.training_round,
        "time_ms": header.time_ms,
        "proposer": _member(contract, header.proposer),
        "created_view": header.created_view,
        "model_id": header.results.model_id.hex(),
        "contributions": contributions_view(contract, block),
        "updates": _updates(contract, before, block),
        "haves": [
            {
                **_member(contract, have.signer),
                "power": before.validators.power_of(have.signer),
                "trainers": [entry.trainer for entry in have.statement.entries],
            }
            for have in block.haves
        ],
        "evidence": [_evidence(contract, each) for each in block.evidence],
        "operations": [_operation(contract, before, each) for each in block.operations],
        "readies": [_member(contract, each.signer) for each in block.readies],
        "metrics": [_metrics(contract, each) for each in block.metrics],
        "returns_to_best": apply(contract, before, block).returns > before.returns,
    }
    if certificate is not None:
        view["votes"] = votes_view(contract, before.validators, certificate)
    return view


def contributions_view(contract: Contract, block: Block) -> list[Plain]:
    """Return the included updates of a block with their weights, also in thousandths."""
    contributions = block.header.results.contributions
    total = sum(each.weight for each in contributions)
    return [
        {
            **_member(contract, each.trainer),
            "weight": each.weight,
            "weight_permille": each.weight * 1000 // total if total else 0,
            "is_outlier": each.flagged is Flag.OUTLIER,
        }
        for each in contributions
    ]


def votes_view(
    contract: Contract, validators: ValidatorSet, certificate: QuorumCertificate
) -> View:
    """Return who committed a block, and whose vote its certificate lacks."""
    present = signers(certificate, validators)
    absent = [member for member in validators.members if member not in present]
    return {
        "view": certificate.view,
        "power": sum(validators.power_of(member) for member in present),
        "total_power": validators.total,
        "signers": [_member(contract, member) for member in present],
        "absent": [_member(contract, member) for member in absent],
    }


def chain_views(
    contract: Contract, blocks: Iterable[Block], certificate: QuorumCertificate | None
) -> Iterator[View]:
    """Yield the view of each block from height 1 on, each with the powers and votes of its height.

    Args:
        contract: The terms.
        blocks: Blocks 1 to H in order, read one by one.
        certificate: The certificate of height H; those below are in the blocks (rule P51).
    """
    state = initial_state(contract)
    pending: tuple[State, Block] | None = None
    for block in blocks:
        if pending is not None:
            own = block.last_certificate[0] if block.last_certificate else None
            yield block_view(contract, *pending, own)
        pending = (state, block)
        state = apply(contract, state, block)
    if pending is not None:
        yield block_view(contract, *pending, certificate)


def _updates(contract: Contract, before: State, block: Block) -> list[Plain]:
    """The vouched headers of a block, and why those that do not count cannot (rule P12a)."""
    counted = {each.trainer for each in block.header.results.contributions}
    return [
        {
            **_member(contract, update.statement.trainer),
            "update_id": update.statement.update_id.hex(),
            "is_included": update.statement.trainer in counted,
            "reason": disqualification(contract, before, update.statement) or "",
        }
        for update in block.updates
    ]


def _evidence(contract: Contract, evidence: Evidence) -> View:
    """Who contradicted itself, and where: the block bans that member (rule P45)."""
    member, kind, height, view = evidence_key(evidence)
    return {**_member(contract, member), "statement": kind, "height": height, "view": view}


def _operation(contract: Contract, before: State, agreed: Agreed) -> View:
    """What an operation changes, and who approved it (rule P81)."""
    operation = agreed.operation
    view: View = {
        "operation": type(operation).KIND.name,
        "operation_id": operation_id(operation, before.chain_id).hex(),
        "expiry": operation.expiry,
        "approved_by": [_member(contract, each.signer) for each in agreed.approvals],
    }
    match operation:
        case Join():
            view |= {"name": operation.name, "public_key": operation.public_key.hex()}
        case Rotate():
            view |= _member(contract, operation.member)
            view["public_key"] = operation.public_key.hex()
        case Leave() | Evict():
            view |= _member(contract, operation.member)
        case ChangeTerms():
            view["contract_hash"] = operation.contract_hash.hex()
    return view


def _metrics(contract: Contract, metrics: Signed[MetricsReport]) -> View:
    """What a member says about a model, in millionths, higher is better (rule P16)."""
    report = metrics.statement
    return {
        **_member(contract, metrics.signer),
        "height": report.height,
        "value": report.value,
        "best_value": report.best_value,
    }


def _judged(contract: Contract, state: State, model: JudgedModel) -> View:
    """How members judge a model; the medians, weighted with powers, are for people only (P16)."""
    powers = hold_out_powers(contract, state.validators)
    median = weighted_median({each.member: each.value for each in model.figures}, powers)
    best = weighted_median({each.member: each.best_value for each in model.figures}, powers)
    view: View = {
        "height": model.height,
        "model_id": model.model_id.hex(),
        "figures": len(model.figures),
    }
    if median is not None and best is not None:
        view |= {"median": median, "best_median": best}
    return view


def _member_record(state: State, number: int) -> View:
    """A member as it last was: with its roles and samples also when it is gone."""
    record = state.membership.members[number]
    return {
        "number": number,
        "name": record.member.name,
        "public_key": record.member.public_key.hex(),
        "is_trainer": record.member.is_trainer,
        "is_validator": record.member.is_validator,
        "has_hold_out": record.member.has_hold_out,
        "samples": record.member.samples,
        "standing": record.standing.name,
        "admitted": record.admitted,
        "is_banned": number in state.banned,
    }


def _without_banned(contract: Contract, state: State) -> Contract:
    members = tuple(
        replace(each, roles=0, samples=0) if number in state.banned else each
        for number, each in enumerate(contract.members)
    )
    return replace(contract, members=members)


def _member(contract: Contract, number: int) -> View:
    is_known = number < len(contract.members)
    return {"number": number, "name": contract.members[number].name if is_known else "unknown"}
