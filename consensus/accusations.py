"""Evidence that waits for a block: at most one piece per member, the newest (rules P37, P45)."""

from ledger.evidence import (
    admission_problem,
    evidence_key,
    height_problem,
    role_problem,
    validators_left,
)
from ledger.genesis import Contract
from ledger.records import EVIDENCE_MAX, Evidence
from ledger.state import State


class Accusations:
    """Keeps what the next block may carry, until one did or it is too old."""

    def __init__(self) -> None:
        self._pending: dict[int, Evidence] = {}

    def add(self, contract: Contract, state: State, evidence: Evidence) -> bool:
        """Keep evidence whose statements were verified, if a block after `state` may carry it.

        Returns:
            Whether its member was not accused before.
        """
        if _is_late(contract, state, evidence):
            return False
        member, _, height, _ = evidence_key(evidence)
        known = self._pending.get(member)
        if known is None or evidence_key(known)[2] < height:
            self._pending[member] = evidence
        return known is None

    def forget(self, contract: Contract, state: State) -> None:
        """Drop what a block after `state` may no longer carry."""
        late = [each for each, kept in self._pending.items() if _is_late(contract, state, kept)]
        for member in late:
            del self._pending[member]

    def proposable(self, contract: Contract, state: State) -> tuple[Evidence, ...]:
        """Return what a block after `state` carries, ascending by the accused; never against all.

        Somebody must be left to vote: without validators there is no next block.
        """
        chosen: list[Evidence] = []
        convicted = set(state.banned)
        for member in sorted(self._pending):
            if len(chosen) < EVIDENCE_MAX and validators_left(contract, convicted | {member}):
                convicted.add(member)
                chosen.append(self._pending[member])
        return tuple(chosen)


def _is_late(contract: Contract, state: State, evidence: Evidence) -> bool:
    """Whether it is included, too old, or of a height that this node has not reached."""
    problem = height_problem(evidence, state.height + 1)
    problem = problem or role_problem(contract, state.banned, evidence)
    return (problem or admission_problem(state.membership, evidence)) is not None
