"""What a checked proof says, and what it cannot: in lines for a person, as data for a program."""

from typing import Final

from ledger.audit_report import Plain, printable
from ledger.genesis import Contract
from ledger.proofs import Proven
from ledger.records import block_id

PROOF_LIMITS: Final = (
    "that inclusion and weight follow from the rules: they are as certified; an audit of the whole"
    " ledger checks that",
    "that the update was trained on the rows that its contract means, or on any",
    "anything about later blocks, or that no second history exists: compare chain id and checkpoint"
    " with copies obtained elsewhere",
    "that no keys leaked since: whoever holds keys of more than two thirds of the power of one"
    " height can write another history",
)


def proven_data(proven: Proven) -> dict[str, Plain]:
    """Return what a proof shows as data for JSON; digests as hexadecimal text."""
    header, anchored = proven.header, proven.anchored
    trainer = proven.update.statement.trainer
    return {
        "holds": True,
        "chain_id": header.chain_id.hex(),
        "member": trainer,
        "name": proven.membership.members[trainer].member.name,
        "update_id": proven.update.statement.update_id.hex(),
        "height": header.height,
        "training_round": header.training_round,
        "block_id": block_id(header).hex(),
        "model_id": header.results.model_id.hex(),
        "weight": proven.weight,
        "total_weight": proven.total_weight,
        "is_outlier": proven.is_outlier,
        "certified_height": anchored.header.height,
        "certified_block_id": block_id(anchored.header).hex(),
        "signers": list(anchored.signers),
        "power": anchored.power,
        "total_power": anchored.total_power,
        "log_root": anchored.root.hex(),
        "cannot_know": list(PROOF_LIMITS),
    }


def proven_lines(contract: Contract, proven: Proven) -> tuple[str, ...]:
    """Return what a proof shows as lines of text for a person."""
    header, anchored = proven.header, proven.anchored
    trainer, members = proven.update.statement.trainer, proven.membership.members
    flag = ", flagged as an outlier" if proven.is_outlier else ""
    name = printable(members[trainer].member.name)
    names = ", ".join(_signer(proven, each) for each in anchored.signers)
    return (
        f"network   {printable(contract.name)}",
        f"chain id  {header.chain_id.hex()}  (compare it with a copy obtained elsewhere)",
        f"update    {proven.update.statement.update_id.hex()}",
        f"          of member {trainer} {name}, signed by its key",
        f"block     {header.height}: {block_id(header).hex()}",
        f"          counted it in training round {header.training_round} with weight"
        f" {proven.weight} of {proven.total_weight}{flag}",
        f"model     {header.results.model_id.hex()}, as certified, not recomputed",
        f"certified by block {anchored.header.height}, which {names} signed:"
        f" power {anchored.power} of {anchored.total_power}",
        f"log root  {anchored.root.hex()} over blocks 1 to {anchored.header.height}",
        "This proof cannot show:",
        *(f"  - {limit}" for limit in PROOF_LIMITS),
        "the proof holds",
    )


def _signer(proven: Proven, number: int) -> str:
    """A signer of the certified block, which may have joined after the proven one."""
    members = proven.membership.members
    name = printable(members[number].member.name) if number < len(members) else "(joined later)"
    return f"{number} {name}"
