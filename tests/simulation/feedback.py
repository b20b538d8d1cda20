"""Rule P16: no honest proposer of a healed network leaves out what an honest member said, and no
model becomes the best, or is left, by the figures of liars alone.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from consensus.messages import ProposalMessage
from ledger.feedback import hold_out_powers, metrics_problem
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.membership import contract_in_force
from ledger.metrics import MetricsReport
from ledger.records import FRESH, Block
from ledger.state import State
from tests.simulation.packets import ViolationError

if TYPE_CHECKING:
    from tests.simulation.node import Node

HEARD_MS = 6_000
"""In so long everybody heard METRICS: it was said again, and the latest built its block."""


class FeedbackChecker:
    """Remembers when honest members first said METRICS after the network healed."""

    def __init__(self, contract: Contract, honest: AbstractSet[int]) -> None:
        self._contract = contract
        self._honest = honest
        self._said: dict[Signed[MetricsReport], int] = {}
        self._figures: dict[int, dict[bytes, int]] = {}

    def on_metrics(self, node: "Node", metrics: Signed[MetricsReport]) -> None:
        """Note when METRICS were said first."""
        if node.world.healed_at is not None and node.member in self._honest:
            self._said.setdefault(metrics, node.world.now)

    def on_proposal(self, node: "Node", offer: ProposalMessage, states: Sequence[State]) -> None:
        """Look for METRICS in a fresh block.

        Raises:
            ViolationError: If an honest member's, said long ago, are not in it and could be.
        """
        proposal, header = offer.proposal.statement, offer.block.header
        is_fresh = proposal.valid_view == FRESH and header.height == len(states)
        if not self._said or not is_fresh or node.member not in self._honest:
            return
        state = states[header.height - 1]
        contract = contract_in_force(self._contract, state)
        for metrics, said_at in self._said.items():
            is_due = node.world.now - said_at > HEARD_MS and metrics not in offer.block.metrics
            if is_due and metrics_problem(contract, state, metrics) is None:
                raise ViolationError(
                    f"feedback: member {node.member} proposes height {header.height} without"
                    f" METRICS of member {metrics.signer} of height {metrics.statement.height}"
                )

    def on_block(self, contract: Contract, parent: State, block: Block, state: State) -> None:
        """Look at the figures behind what a decided block leads to.

        Raises:
            ViolationError: If a model becomes the best, or the base returns to the best one, and
                the honest members who want it are no quorum of the hold-outs with all liars.
        """
        for metrics in block.metrics:
            if metrics.signer in self._honest:
                said, known = metrics.statement, self._figures.setdefault(metrics.signer, {})
                known.update({said.model_id: said.value, said.best_id: said.best_value})
        best, was_best = state.best.model_id, parent.best.model_id
        powers = hold_out_powers(contract, parent.validators, state.banned)
        height = block.header.height
        if best != was_best and not self._may_want(best, was_best, powers, margin=0):
            raise ViolationError(f"feedback: the best of height {height} by liars alone")
        margin = contract.feedback.tolerance
        if state.returns > parent.returns and not any(
            self._may_want(best, model.model_id, powers, margin=margin) for model in parent.judged
        ):
            raise ViolationError(f"feedback: a return at height {height} by liars alone")

    def _may_want(
        self, better: bytes, worse: bytes, powers: Mapping[int, int], *, margin: int
    ) -> bool:
        """Whether a quorum may have found one model better than another by more than `margin`.

        Of liars anything is taken for possible, of honest members what they said in blocks.
        """

        def is_found(known: Mapping[bytes, int]) -> bool:
            return better in known and worse in known and known[better] - known[worse] > margin

        wanting = sum(
            power
            for member, power in powers.items()
            if member not in self._honest or is_found(self._figures.get(member, {}))
        )
        return 3 * wanting > 2 * sum(powers.values())
