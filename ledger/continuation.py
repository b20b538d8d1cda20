"""A chain that continues an earlier one: recovery when too few of its members are left (rule P1).

When a third of the power or more is gone for good, no block is decided any more. Those who are left
found a new chain, whose contract names the block up to which the earlier one is theirs and starts
from its last or its best model. The model's architecture and the preprocessing go over with it;
powers, scores, members and all other terms are those of the new contract.
"""

from collections.abc import Iterator, Sequence

from ledger.audit import audit
from ledger.findings import Finding
from ledger.genesis import NO_FEEDBACK, Continues, Contract, Genesis, chain_id
from ledger.keys import ED25519, SignatureScheme
from ledger.records import Block, QuorumCertificate
from ledger.state import State, replay


def continues_after(state: State, model_id: bytes) -> Continues:
    """Return how a new contract names a block of an earlier chain, and a model of it.

    Args:
        state: The state of the earlier chain after the block.
        model_id: One of `models_left`.
    """
    return Continues(
        chain_id=state.chain_id, height=state.height, block_id=state.tip_id, model_id=model_id
    )


def models_left(contract: Contract, state: State) -> tuple[bytes, ...]:
    """Return the ids of the models with which a chain may be continued.

    The one from which it would have gone on itself and, where members judge models, the best one.
    """
    has_feedback = contract.feedback != NO_FEEDBACK
    return (state.model_id, state.best.model_id) if has_feedback else (state.model_id,)


def continuation_findings(
    contract: Contract,
    genesis: Genesis,
    blocks: Sequence[Block],
    certificate: QuorumCertificate | None,
    *,
    scheme: SignatureScheme = ED25519,
) -> tuple[Finding, ...]:
    """Return what is wrong with the earlier chain, or with how a contract names it.

    Args:
        contract: Of the chain that continues.
        genesis: Of the earlier chain, obtained from one of its founding members.
        blocks: Blocks 1 to H of the earlier chain, H at least the height that is named.
        certificate: The certificate of height H.
        scheme: How signatures are checked.
    """
    if not contract.continues:
        return (_finding(0, "continues", "the contract names no earlier chain"),)
    (named,) = contract.continues
    earlier = audit(genesis, blocks, certificate, scheme=scheme)
    findings = [
        Finding(height=each.height, field=f"earlier.{each.field}", rule=each.rule, text=each.text)
        for each in earlier.findings
    ]
    if chain_id(genesis.contract) != named.chain_id:
        text = f"expected chain {named.chain_id.hex()[:8]}, got another genesis"
        return (*findings, _finding(0, "continues.chain_id", text))
    if named.height > len(blocks):
        text = f"expected a ledger up to height {named.height}, got one that ends at {len(blocks)}"
        return (*findings, _finding(named.height, "continues.height", text))
    findings += _kept_terms_findings(contract, genesis.contract)
    state = replay(genesis.contract, blocks[: named.height])
    if named.block_id != state.tip_id:
        ours, theirs = state.tip_id.hex()[:8], named.block_id.hex()[:8]
        text = f"the earlier chain has {ours}, the contract names {theirs}"
        findings.append(_finding(named.height, "continues.block_id", text))
    models = models_left(genesis.contract, state)
    if named.model_id not in models:
        left = " or ".join(sorted({each.hex()[:8] for each in models}))
        text = f"the earlier chain ended with {left}, the contract names {named.model_id.hex()[:8]}"
        findings.append(_finding(named.height, "continues.model_id", text))
    return tuple(findings)


def _kept_terms_findings(contract: Contract, earlier: Contract) -> Iterator[Finding]:
    """The terms under which a model's values mean anything."""
    if contract.model.architecture != earlier.model.architecture:
        text = f"expected {earlier.model.architecture!r}, got {contract.model.architecture!r}"
        yield _finding(0, "model.architecture", text)
    if contract.data != earlier.data:
        yield _finding(0, "data", "expected label and features of the earlier chain, got others")


def _finding(height: int, field: str, text: str) -> Finding:
    return Finding(height=height, field=field, rule="P1", text=text)
