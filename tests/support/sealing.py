"""Blocks whose roots, hashes and outcome are recomputed after a change."""

from dataclasses import replace

from ledger.building import with_outcome
from ledger.certificates import certificate_hash
from ledger.evidence import evidence_root
from ledger.genesis import Contract
from ledger.metrics import metrics_root
from ledger.operations import operations_root
from ledger.records import Block, haves_root, updates_root
from ledger.state import State


def reseal(of: Contract, state: State, block: Block) -> Block:
    """The block with every root, hash and outcome as a forger who knows the rules writes them."""
    header = replace(
        block.header,
        updates_root=updates_root(block.updates),
        haves_root=haves_root(block.haves),
        evidence_root=evidence_root(block.evidence),
        metrics_root=metrics_root(block.metrics),
        operations_root=operations_root(block.operations, block.readies),
        last_certificate_hash=certificate_hash(block.last_certificate),
    )
    return with_outcome(of, state, replace(block, header=header))
