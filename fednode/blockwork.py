"""The heavy part of a block: bodies to rows, rows to the next model, results to compare (rule P13).

Everything here is a pure function of the blobs that the arguments name; the node runs it on a
thread, off its event loop.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.rules import RuleSpec, aggregate, apply_delta
from ledger.blobs import Blobs
from ledger.bodies import (
    decode_model_body,
    decode_update_body,
    encode_model_body,
)
from ledger.building import aggregate_results
from ledger.errors import BlockError, DecodeError
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.records import VALUE_MAX, Flag, Results, UpdateHeader
from ledger.state import State

Weighted: TypeAlias = Sequence[tuple[Signed[UpdateHeader], int]]
"""Included updates with their contribution weights."""
CheckedBodies: TypeAlias = Mapping[bytes, bytes | memoryview]
"""Bodies of updates in memory by update id, each found to be a right one for its header."""


def model_elements(contract: Contract) -> int:
    """Return the number of parameters of the contract's model."""
    return sum(tensor.size for tensor in contract.model.tensors)


def load_model(contract: Contract, blobs: Blobs, model_id: bytes) -> NDArray[np.int32]:
    """Return a model's parameters as integers, shape (p,)."""
    values = decode_model_body(blobs.get(model_id), contract.model.tensors)
    return _integers(values)


def load_update(contract: Contract, header: UpdateHeader, blobs: Blobs) -> bytes:
    """Return the body of an update, read and checked (rule P10).

    Raises:
        DecodeError: If the body is not an update of the contract's model.
    """
    body = blobs.get(header.update_id)
    check_update_body(contract, header, body)
    return body


def check_update_body(contract: Contract, header: UpdateHeader, body: bytes | memoryview) -> None:
    """Check size, table and magnitudes of an update's body (rule P10).

    Raises:
        DecodeError: If the body is not an update of the contract's model.
    """
    elements = model_elements(contract)
    if header.n_elements != elements:
        raise DecodeError(f"expected {elements} elements, the header says {header.n_elements}")
    values = _integers(decode_update_body(body, contract.model.tensors))
    if values.size and max(int(values.max()), -int(values.min())) > VALUE_MAX:
        raise DecodeError(f"expected values within +-{VALUE_MAX}")


def compute_results(
    contract: Contract, state: State, counted: Weighted, blobs: Blobs, checked: CheckedBodies
) -> Results:
    """Aggregate the included updates on the state's model and make the new model durable.

    Args:
        contract: Names the rule.
        state: The state before the block.
        counted: What rule P12 includes, with contribution weights, in member order.
        blobs: Holds the base model and the body of every included update.
        checked: Bodies that need not be read and checked again.

    Raises:
        DecodeError: If a body is not what its header says; an honest holder would have refused it.
    """
    bodies = [
        checked.get(update.statement.update_id) or load_update(contract, update.statement, blobs)
        for update, _ in counted
    ]
    base = blobs.get(state.model_id)
    flags, body = aggregate_bodies(contract, [weight for _, weight in counted], base, bodies)
    return aggregate_results(
        counted, flags, model_id=blobs.put(body), optimizer_id=state.optimizer_id
    )


def aggregate_bodies(
    contract: Contract,
    weights: Sequence[int],
    base: bytes,
    bodies: Sequence[bytes | memoryview],
) -> tuple[tuple[Flag, ...], bytes]:
    """Return the outlier flags of updates, and the body of the model that they make.

    Args:
        contract: Names the rule.
        weights: Contribution weights, one per update.
        base: Body of the model that the updates change.
        bodies: Bodies of the updates, in member order, each checked.
    """
    tensors = contract.model.tensors
    rows = [_integers(decode_update_body(body, tensors)) for body in bodies]
    outcome = aggregate(rule_of(contract), rows, weights)
    parameters = apply_delta(_integers(decode_model_body(base, tensors)), outcome.delta)
    body = encode_model_body(tensors, parameters.astype("<i4", copy=False).tobytes())
    return tuple(Flag.OUTLIER if flagged else Flag.REGULAR for flagged in outcome.flags), body


def check_results(expected: Results, claimed: Results) -> None:
    """Compare what was recomputed with what a block claims.

    Raises:
        BlockError: If they differ; the text names the first difference.
    """
    if claimed == expected:
        return
    if claimed.model_id != expected.model_id:
        expected_id, claimed_id = expected.model_id.hex()[:8], claimed.model_id.hex()[:8]
        raise BlockError(f"recomputed model {expected_id}, the block says {claimed_id}")
    raise BlockError("recomputed weights or flags differ from those in the block")


def rule_of(contract: Contract) -> RuleSpec:
    """Return the aggregation rule that the contract names."""
    parameters = {each.name: each.value for each in contract.aggregation.parameters}
    return RuleSpec(rule_id=contract.aggregation.rule_id, f=parameters.get("f", 0))


def _integers(values: bytes | memoryview) -> NDArray[np.int32]:
    return np.frombuffer(values, dtype="<i4").astype(np.int32, copy=False)
