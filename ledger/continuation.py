"""A chain that continues an earlier one: recovery when too few of its members are left (rule P1).

When a third of the power or more is gone for good, no block is decided any more. Those who are left
found a new chain, whose contract names the block up to which the earlier one is theirs and starts
from its model. Nothing else goes over: powers, scores and members are those of the new contract.
"""

from collections.abc import Sequence

from ledger.audit import audit
from ledger.findings import Finding
from ledger.genesis import Continues, Contract, Genesis, chain_id
from ledger.keys import ED25519, SignatureScheme
from ledger.records import Block, QuorumCertificate
from ledger.state import State, apply, initial_state


def continues_after(contract: Contract, state: State) -> Continues:
    """Return how a new contract names a block of an earlier chain.

    Args:
        contract: That of the earlier chain's genesis.
        state: The state of the earlier chain after the block.
    """
    return Continues(
        chain_id=chain_id(contract),
        height=state.height,
        block_id=state.tip_id,
        model_id=state.model_id,
    )


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
    state = initial_state(genesis.contract)
    for block in blocks[: named.height]:
        state = apply(genesis.contract, state, block)
    expected = continues_after(genesis.contract, state)
    for field in ("block_id", "model_id"):
        want, got = getattr(expected, field), getattr(named, field)
        if want != got:
            text = f"the earlier chain has {want.hex()[:8]}, the contract names {got.hex()[:8]}"
            findings.append(_finding(named.height, f"continues.{field}", text))
    return tuple(findings)


def _finding(height: int, field: str, text: str) -> Finding:
    return Finding(height=height, field=field, rule="P1", text=text)
