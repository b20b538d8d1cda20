"""METRICS that wait for a block: of each member one of each model under judgement (P16, P37)."""

from typing import Final

from ledger.feedback import hold_out_powers, metrics_problem
from ledger.genesis import Contract
from ledger.keys import SignatureScheme, Signed, signing_bytes
from ledger.membership import public_keys_at
from ledger.metrics import MetricsReport
from ledger.state import State

HEIGHTS_AHEAD_MAX: Final = 2
"""METRICS of a height that is so far ahead are kept until this node is there."""


class MetricsPool:
    """Keeps what the next blocks may carry, until one did or its model is too old.

    Others may have decided a block more: of what they say one per member is kept for then.

    Args:
        scheme: How signatures are checked.
    """

    def __init__(self, scheme: SignatureScheme) -> None:
        self._scheme = scheme
        self._pending: dict[tuple[int, int], Signed[MetricsReport]] = {}
        self._ahead: dict[int, Signed[MetricsReport]] = {}

    def add(
        self, contract: Contract, state: State, metrics: Signed[MetricsReport]
    ) -> Signed[MetricsReport] | None:
        """Keep METRICS if a block after `state` may carry them.

        Their signature is checked here, too: what came early was checked with keys that may have
        been replaced meanwhile, and one wrong signature makes every leader's block invalid.

        Returns:
            What is here instead: other figures of this member and model, that came first.
        """
        report = metrics.statement
        if report.height > state.height:
            known = self._ahead.get(metrics.signer)
            is_newer = known is None or known.statement.height < report.height
            if is_newer and report.height <= state.height + HEIGHTS_AHEAD_MAX:
                self._ahead[metrics.signer] = metrics
            return None
        first = self._pending.get((report.height, metrics.signer))
        if first is not None:
            return first if first.statement != report else None
        if metrics_problem(contract, state, metrics) is None and self._is_signed(state, metrics):
            self._pending[report.height, metrics.signer] = metrics
        return None

    def begin_height(self, contract: Contract, state: State) -> None:
        """Drop what a block after `state` may not carry; take what came early."""
        for key, each in list(self._pending.items()):
            if metrics_problem(contract, state, each) is not None:
                del self._pending[key]
        ahead, self._ahead = self._ahead, {}
        for member in sorted(ahead):
            self.add(contract, state, ahead[member])

    def proposable(self) -> tuple[Signed[MetricsReport], ...]:
        """Return what the next block carries: all that is here, by height and member."""
        return tuple(self._pending[key] for key in sorted(self._pending))

    def of_member(self, member: int) -> tuple[Signed[MetricsReport], ...]:
        """Return what a member said and no block carries yet."""
        return tuple(each for each in self.proposable() if each.signer == member)

    def is_complete(self, contract: Contract, state: State) -> bool:
        """Return whether everybody who may judge the newest model did: the closing height's wait.

        A local matter (rule P11): HAVE lists of that height are signed then, or at the end of the
        collect wait.
        """
        newest = state.judged[-1].height
        reporters = hold_out_powers(contract, state.validators)
        return all((newest, member) in self._pending for member in reporters)

    def size(self) -> int:
        """Return how many METRICS are kept."""
        return len(self._pending) + len(self._ahead)

    def _is_signed(self, state: State, metrics: Signed[MetricsReport]) -> bool:
        """Whether the signature is the one that a block's check asks for (rule P3)."""
        keys = public_keys_at(state.membership, metrics.statement.said_at)
        message = signing_bytes(metrics.statement, state.chain_id)
        return self._scheme.is_valid(keys[metrics.signer], message, metrics.signature)
