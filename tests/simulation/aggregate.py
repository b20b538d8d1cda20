"""A stand-in for aggregation: the id of the new model is a hash of what goes into it.

Deterministic and cheap, and as sensitive as the real one to which updates count with which weights.
"""

from dataclasses import replace
from hashlib import sha256

from consensus.effects import BuildBlock, Train
from consensus.judging import Evaluate, Evaluated
from ledger.building import (
    Draft,
    aggregate_results,
    build_block,
    expected_weights,
    unchanged_results,
)
from ledger.genesis import Contract
from ledger.inclusion import included
from ledger.records import Block, BlockKind, Flag, Results
from ledger.state import State
from tests.simulation.packets import ViolationError

NOISE = 16
"""Weight of what only one member sees in a model, against levels up to 2**16."""
OUTLIER_SHARE = 16
"""One update in so many is flagged, by its id."""


def results_of(
    contract: Contract,
    state: State,
    order: BuildBlock | Block,
) -> Results:
    """The results that everybody who has the bodies comes to."""
    weighted = expected_weights(contract, state, order.haves, order.updates, order.evidence)
    digest = sha256(state.model_id)
    for update, weight in weighted:
        digest.update(update.statement.update_id + weight.to_bytes(8, "big"))
    return aggregate_results(
        weighted,
        [_flag(update.statement.update_id) for update, _ in weighted],
        model_id=digest.digest(),
        optimizer_id=sha256(b"optimizer" + digest.digest()).digest(),
    )


def build(contract: Contract, state: State, order: BuildBlock, *, is_wrong: bool = False) -> Block:
    """The block that an order asks for; `is_wrong` claims a model that nobody else will find."""
    if order.kind is BlockKind.EMPTY:
        results = unchanged_results(state)
    else:
        results = results_of(contract, state, order)
    if is_wrong:
        results = replace(results, model_id=sha256(b"wrong" + results.model_id).digest())
    return block_of(contract, state, order, results)


def block_of(contract: Contract, state: State, order: BuildBlock, results: Results) -> Block:
    """The block that an order asks for, with these results."""
    draft = Draft(
        view=order.view,
        kind=order.kind,
        time_ms=order.time_ms,
        haves=order.haves,
        updates=order.updates,
        last_certificate=order.last_certificate,
        results=results,
        evidence=order.evidence,
        metrics=order.metrics,
        operations=order.operations,
        readies=order.readies,
    )
    return build_block(contract, state, draft)


def recomputes(contract: Contract, state: State, block: Block) -> bool:
    """Whether the results in a block are those that its bodies make (rule P13)."""
    if block.header.kind is BlockKind.EMPTY:
        expected = unchanged_results(state)
    else:
        expected = results_of(contract, state, block)
    return block.header.results == expected


def audit(contract: Contract, parent: State, block: Block) -> None:
    """Recompute a decided block.

    Raises:
        ViolationError: If its results are others.
    """
    if not recomputes(contract, parent, block):
        raise ViolationError(f"validity: results of height {block.header.height} are wrong")


def needed_bodies(contract: Contract, state: State, order: BuildBlock | Block) -> set[bytes]:
    """Ids of the bodies that building or checking reads."""
    if isinstance(order, Block):
        is_empty = order.header.kind is BlockKind.EMPTY
    else:
        is_empty = order.kind is BlockKind.EMPTY
    if is_empty:
        return set()
    updates = included(contract, state, order.haves, order.updates, order.evidence)
    return {state.model_id, *(each.statement.update_id for each in updates)}


def update_id_of(member: int, order: Train, incarnation: int) -> bytes:
    """Id of a trained update; salted, so that training again after a crash gives another body."""
    text = b"%d %d %d" % (member, order.height, incarnation)
    return sha256(text + order.base_model_id).digest()


def evaluate(member: int, asked: Evaluate) -> Evaluated:
    """What a member's rows say of two models."""
    return Evaluated(
        height=asked.height,
        model_id=asked.model_id,
        best_id=asked.best_id,
        value=figure(member, asked.model_id),
        best_value=figure(member, asked.best_id),
    )


def figure(member: int, model_id: bytes) -> int:
    """What a member finds of a model, in millionths: mostly the model's own level.

    Random over models, so that some are preferred and rows of others regretted.
    """
    level = int.from_bytes(sha256(b"level" + model_id).digest()[:2], "big")
    return level + sha256(b"%d" % member + model_id).digest()[0] * NOISE


def false_body_id(body_id: bytes) -> bytes:
    """Id of the other body of a trainer that sends two."""
    return sha256(b"other" + body_id).digest()


def _flag(update_id: bytes) -> Flag:
    return Flag.OUTLIER if update_id[0] % OUTLIER_SHARE == 0 else Flag.REGULAR
