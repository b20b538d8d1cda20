"""Write a certified model of a member's ledger as a file for others (rules P4, P5)."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from fednode.errors import ConfigError
from fednode.folders import open_ledger, read_model_body
from ledger.bodies import decode_model_body
from ledger.genesis import Contract
from ledger.model_file import encode_model_file, origin_metadata
from ledger.records import Block, BlockKind


class Which(StrEnum):
    """A model that a ledger's last state names."""

    LAST = "last"
    BEST = "best"
    PREFERRED = "preferred"
    """The best where members judge models, else the last."""


def export_model(
    folder: Path, *, which: Which = Which.PREFERRED, height: int | None = None
) -> bytes:
    """Return the canonical file of a model; its metadata name chain, height and model id.

    Args:
        folder: A member's folder.
        which: Which model, unless a height is given.
        height: Height of the block that made the model; 0 for the initial one.

    Raises:
        ConfigError: If no block of that height made a model, or its body is not here.
        StorageError: If the ledger is damaged.
    """
    with open_ledger(folder) as ledger:
        state, contract, chain = ledger.state, ledger.contract, ledger.chain_id
        made = models_made(contract, tuple(ledger.blocks(1, ledger.head)))
    if height is None:
        is_best = which is Which.BEST or (which is Which.PREFERRED and has_feedback(contract))
        model_id = state.best.model_id if is_best else _last_made(made)
        height = max(each for each, made_id in made.items() if made_id == model_id)
    elif height not in made:
        raise ConfigError(
            f"expected the height of a block that made a model, got {height}; "
            "'fednode ledger log' lists the blocks, those of kind AGGREGATE made one"
        )
    model_id = made[height]
    values = decode_model_body(read_model_body(folder, model_id), contract.model.tensors)
    metadata = origin_metadata(chain, height, model_id)
    return encode_model_file(contract.model.tensors, values, metadata)


def has_feedback(contract: Contract) -> bool:
    """Return whether anybody judges models, so that the best is one that members prefer (P16)."""
    return any(member.has_hold_out for member in contract.members)


def _last_made(made: dict[int, bytes]) -> bytes:
    return made[max(made)]


def models_made(contract: Contract, blocks: Sequence[Block]) -> dict[int, bytes]:
    """Return the id of each model by the height that made it; 0 is the initial model."""
    made = {0: contract.model.initial_model_id}
    for block in blocks:
        if block.header.kind is BlockKind.AGGREGATE:
            made[block.header.height] = block.header.results.model_id
    return made
