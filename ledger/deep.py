"""The deep audit: results are computed again from the bodies of the updates (rules P13, P54).

How an aggregate is computed is the caller's function, because this package has no arithmetic on
arrays. A light audit must have found nothing wrong before: what counts and with which weight is
taken from it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ledger.building import expected_weights
from ledger.errors import DecodeError
from ledger.findings import Finding
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.membership import contract_in_force
from ledger.records import Block, BlockKind, Results, UpdateHeader
from ledger.state import State, apply, initial_state

Weighted: TypeAlias = tuple[tuple[Signed[UpdateHeader], int], ...]
"""The included updates with the weights that the aggregate must use."""
Bodies: TypeAlias = Callable[[bytes], bytes | None]
"""Returns the body with an id, checked against it; None when it is not at hand."""
Recompute: TypeAlias = Callable[[State, Weighted, bytes, tuple[bytes, ...]], tuple[Results, bytes]]
"""From the state before, updates, base model's body and updates' bodies: results, model's body.

The terms in force follow from the state (`contract_in_force`).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepOutcome:
    """What a deep audit did.

    Attributes:
        recomputed: Heights whose results were computed again, equal or not.
        missing: Heights that could not be, because a body is not at hand.
        findings: Results that differ from the recomputed ones.
    """

    recomputed: tuple[int, ...]
    missing: tuple[int, ...]
    findings: tuple[Finding, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all results were computed again."""
        return not self.missing


def recompute_all(
    contract: Contract, blocks: Iterable[Block], bodies: Bodies, recompute: Recompute
) -> DeepOutcome:
    """Compute the results of every training round again and compare them with the blocks'.

    The model that one block made is the base of the next, so beside the updates only the first
    model needs to be at hand, and that of a height whose own results could not be confirmed, or to
    which the base returned (rule P16).

    Args:
        contract: That of the genesis.
        blocks: Blocks 1 to H of a ledger in which a light audit found nothing.
        bodies: Where the bodies come from.
        recompute: The aggregation.
    """
    state = initial_state(contract)
    recomputed: list[int] = []
    missing: list[int] = []
    findings: list[Finding] = []
    base: bytes | None = None
    for block in blocks:
        if block.header.kind is BlockKind.AGGREGATE:
            base = base if base is not None else bodies(state.model_id)
            in_force = contract_in_force(contract, state)
            weighted = expected_weights(in_force, state, block.haves, block.updates, block.evidence)
            read = [bodies(each.statement.update_id) for each, _ in weighted]
            whole = tuple(each for each in read if each is not None)
            model = None
            if base is None or len(whole) < len(read):
                missing.append(state.height + 1)
            else:
                recomputed.append(state.height + 1)
                found, model = _recomputed(state, block, recompute, (weighted, base, whole))
                findings += found
            # After a difference the next updates were made on the block's model, not on ours.
            base = model
        state = apply(contract, state, block)
        if state.model_id != block.header.results.model_id:
            base = None
    return DeepOutcome(
        recomputed=tuple(recomputed), missing=tuple(missing), findings=tuple(findings)
    )


def _recomputed(
    state: State,
    block: Block,
    recompute: Recompute,
    inputs: tuple[Weighted, bytes, tuple[bytes, ...]],
) -> tuple[list[Finding], bytes | None]:
    """What differs, and the body of the block's model if it is the recomputed one."""
    height, claimed = state.height + 1, block.header.results
    try:
        results, model = recompute(state, *inputs)
    except DecodeError as error:
        return [_finding(height, "results", f"a body that cannot count: {error}")], None
    return _compared(height, claimed, results), model if results == claimed else None


def _compared(height: int, claimed: Results, expected: Results) -> list[Finding]:
    pairs = (
        ("model_id", expected.model_id.hex(), claimed.model_id.hex()),
        ("optimizer_id", expected.optimizer_id.hex(), claimed.optimizer_id.hex()),
        ("contributions", _shown(expected), _shown(claimed)),
    )
    return [
        _finding(height, f"results.{name}", f"recomputed {want}, the block says {got}")
        for name, want, got in pairs
        if want != got
    ]


def _shown(results: Results) -> str:
    return " ".join(
        f"{each.trainer}:{each.weight}{'!' if each.flagged else ''}"
        for each in results.contributions
    )


def _finding(height: int, field: str, text: str) -> Finding:
    return Finding(height=height, field=field, rule="P13", text=text)
