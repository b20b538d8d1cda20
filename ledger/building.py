"""Building a block: everything that follows from parent state, HAVEs, headers and results (P13)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Final

from ledger.certificates import certificate_hash
from ledger.election import proposer_of
from ledger.encoding import domain_tag, encode
from ledger.evidence import evidence_root
from ledger.genesis import AggregationTerms, Contract
from ledger.inclusion import included, vouched_headers, weighted_contributions
from ledger.keys import Signed
from ledger.membership import contract_in_force
from ledger.metrics import MetricsReport, metrics_root
from ledger.operations import Agreed, Ready, operations_root, sorted_operations
from ledger.powers import validators_hash
from ledger.records import (
    ZERO_DIGEST,
    Block,
    BlockHeader,
    BlockKind,
    Contribution,
    Evidence,
    Flag,
    HaveList,
    QuorumCertificate,
    Results,
    UpdateHeader,
    haves_root,
    updates_root,
)
from ledger.state import State, apply, state_root

BLOCK_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a proposer brings to a block; the rest is computed.

    `updates` may hold more headers than the vouched ones, which are picked. `results` are those of
    `aggregate_results` for AGGREGATE, of `unchanged_results` for EMPTY. `evidence` is ascending by
    the accused, `readies` by signer, `metrics` by height and member.
    """

    view: int
    kind: BlockKind
    time_ms: int
    haves: tuple[Signed[HaveList], ...]
    updates: tuple[Signed[UpdateHeader], ...]
    last_certificate: QuorumCertificate | None
    results: Results
    evidence: tuple[Evidence, ...] = ()
    operations: tuple[Agreed, ...] = ()
    readies: tuple[Signed[Ready], ...] = ()
    metrics: tuple[Signed[MetricsReport], ...] = ()


def build_block(contract: Contract, state: State, draft: Draft) -> Block:
    """Return the block that `draft` makes on top of `state`, proposed by the view's proposer.

    `ledger.validity.check_block` finds nothing wrong with it if the draft's kind, HAVEs, time,
    certificate and results obey the rules.
    """
    contract = contract_in_force(contract, state)
    haves = tuple(sorted(draft.haves, key=lambda have: have.signer))
    updates = vouched_headers(state, haves, draft.updates)
    operations = sorted_operations(draft.operations, state.chain_id)
    last_certificate = () if draft.last_certificate is None else (draft.last_certificate,)
    header = BlockHeader(
        version=BLOCK_VERSION,
        chain_id=state.chain_id,
        height=state.height + 1,
        training_round=state.training_round + (draft.kind is BlockKind.AGGREGATE),
        kind=draft.kind,
        parent_id=state.tip_id,
        time_ms=draft.time_ms,
        proposer=proposer_of(contract, state, draft.view),
        created_view=draft.view,
        rule_id=contract.aggregation.rule_id,
        rule_parameters_hash=rule_parameters_hash(contract.aggregation),
        base_model_id=state.model_id,
        results=draft.results,
        updates_root=updates_root(updates),
        haves_root=haves_root(haves),
        metrics_root=metrics_root(draft.metrics),
        evidence_root=evidence_root(draft.evidence),
        operations_root=operations_root(operations, draft.readies),
        last_certificate_hash=certificate_hash(last_certificate),
        validators_hash=validators_hash(state.validators, state.membership.public_keys),
        next_validators_hash=ZERO_DIGEST,
        state_root=ZERO_DIGEST,
        log_root=ZERO_DIGEST,
    )
    block = Block(
        header=header,
        haves=haves,
        updates=updates,
        last_certificate=last_certificate,
        evidence=draft.evidence,
        operations=operations,
        readies=draft.readies,
        metrics=draft.metrics,
    )
    return with_outcome(contract, state, block)


def with_outcome(contract: Contract, state: State, block: Block) -> Block:
    """Return `block` with the header fields that tell what applying it leads to."""
    after = apply(contract, state, block)
    header = replace(
        block.header,
        next_validators_hash=validators_hash(after.validators, after.membership.public_keys),
        state_root=state_root(after),
        log_root=after.log.root(),
    )
    return replace(block, header=header)


def expected_weights(
    contract: Contract,
    state: State,
    haves: Sequence[Signed[HaveList]],
    updates: Sequence[Signed[UpdateHeader]],
    evidence: Sequence[Evidence] = (),
) -> tuple[tuple[Signed[UpdateHeader], int], ...]:
    """Return the included updates with the contribution weights that the aggregate must use."""
    headers = included(contract, state, haves, updates, evidence)
    return tuple(zip(headers, weighted_contributions(contract, state, headers), strict=True))


def aggregate_results(
    weighted: Sequence[tuple[Signed[UpdateHeader], int]],
    flags: Sequence[Flag],
    *,
    model_id: bytes,
    optimizer_id: bytes,
) -> Results:
    """Return the results of an AGGREGATE block.

    Args:
        weighted: From `expected_weights`.
        flags: One per included update, in the same order.
        model_id: Id of the new model's body.
        optimizer_id: Id of the server optimizer's new state.
    """
    contributions = tuple(
        Contribution(trainer=update.statement.trainer, weight=weight, flagged=flag)
        for (update, weight), flag in zip(weighted, flags, strict=True)
    )
    return Results(model_id=model_id, optimizer_id=optimizer_id, contributions=contributions)


def unchanged_results(state: State) -> Results:
    """Return the results of an EMPTY block: everything stays (rule P15)."""
    return Results(model_id=state.model_id, optimizer_id=state.optimizer_id, contributions=())


@lru_cache(maxsize=16)
def rule_parameters_hash(terms: AggregationTerms) -> bytes:
    """Return the hash by which headers name the terms of aggregation (rule P50)."""
    return sha256(domain_tag("rule/1") + encode(terms)).digest()
