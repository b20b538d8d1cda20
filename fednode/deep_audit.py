"""The deep audit: bodies from a member's folder, arithmetic of the node (rule P54)."""

from functools import partial
from pathlib import Path

from fednode.blockwork import aggregate_bodies, check_update_body
from fednode.folders import BLOBS_NAME, state_folder
from ledger.bodies import body_id
from ledger.building import aggregate_results
from ledger.deep import DeepOutcome, Weighted, recompute_all
from ledger.genesis import Contract
from ledger.membership import contract_in_force
from ledger.records import Block, Results
from ledger.state import State


def deep_audit(contract: Contract, blocks: tuple[Block, ...], folder: Path) -> DeepOutcome:
    """Recompute all results of a ledger from the bodies in a member's folder.

    Args:
        contract: That of the genesis.
        blocks: Blocks 1 to H of a ledger in which a light audit found nothing.
        folder: A member's folder, only read.

    Raises:
        ConfigError: If it is no member's folder.
    """
    bodies = partial(_read_body, state_folder(folder) / BLOBS_NAME)
    return recompute_all(contract, blocks, bodies, partial(_recompute, contract))


def _read_body(folder: Path, wanted: bytes) -> bytes | None:
    """A body that is here as it was; a damaged one is missing."""
    try:
        body = (folder / wanted.hex()).read_bytes()
    except OSError:
        return None
    return body if body_id(body) == wanted else None


def _recompute(
    contract: Contract, state: State, weighted: Weighted, base: bytes, bodies: tuple[bytes, ...]
) -> tuple[Results, bytes]:
    contract = contract_in_force(contract, state)
    for (update, _), body in zip(weighted, bodies, strict=True):
        check_update_body(contract, update.statement, body)
    flags, model = aggregate_bodies(contract, [weight for _, weight in weighted], base, bodies)
    results = aggregate_results(
        weighted, flags, model_id=body_id(model), optimizer_id=state.optimizer_id
    )
    return results, model
