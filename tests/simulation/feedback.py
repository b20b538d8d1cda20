"""Rule P16 in a healed network: no honest proposer leaves out what an honest member said."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from consensus.messages import ProposalMessage
from ledger.feedback import metrics_problem
from ledger.genesis import Contract
from ledger.keys import Signed
from ledger.membership import contract_in_force
from ledger.metrics import MetricsReport
from ledger.records import FRESH
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
