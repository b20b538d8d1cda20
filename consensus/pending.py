"""Operations and READYs that wait for a block: bounded, merged by id (rules P35, P37, P81)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger.changes import next_place, operation_problem
from ledger.genesis import Contract
from ledger.keys import SignatureScheme, Signed
from ledger.operation_checks import ready_problem
from ledger.operations import Agreed, Approval, Operation, Ready
from ledger.proposable import proposable_operations, proposable_readies
from ledger.records import Evidence
from ledger.state import State

OPERATIONS_PER_MEMBER: Final = 8
"""Pending operations that one member can bring up; approving those of others counts for none."""
WISHES_MAX: Final = 64
"""Operations that this node is to approve once it hears of them."""


@dataclass(slots=True)
class _Waiting:
    """An operation with its approvals by signer; `opened_by` is who brought it up here."""

    operation: Operation
    opened_by: int
    approvals: dict[int, Signed[Approval]] = field(default_factory=dict)

    def agreed(self) -> Agreed:
        ascending = (self.approvals[signer] for signer in sorted(self.approvals))
        return Agreed(operation=self.operation, approvals=tuple(ascending))


class Pending:
    """What the next block may carry besides training, until one did or it is out of date.

    Every statement in it was verified under the keys in force when it came; `forget` drops those of
    members whose key has changed since.

    Args:
        scheme: How the possession of new keys is checked.
    """

    def __init__(self, scheme: SignatureScheme) -> None:
        self._scheme = scheme
        self._operations: dict[bytes, _Waiting] = {}
        self._readies: dict[int, Signed[Ready]] = {}
        self._keys: tuple[bytes, ...] = ()
        self._wishes: dict[bytes, None] = {}

    def hear(
        self, contract: Contract, state: State, operation: Operation, approval: Signed[Approval]
    ) -> bool:
        """Keep a verified approval with its operation, if a later block may carry it.

        Returns:
            Whether it is new here.
        """
        key, signer = approval.statement.operation_id, approval.signer
        waiting = self._operations.get(key)
        if waiting is None:
            opened = Counter(each.opened_by for each in self._operations.values())
            is_full = opened[signer] >= OPERATIONS_PER_MEMBER
            if is_full or self.problem(contract, state, operation) is not None:
                return False
            waiting = self._operations[key] = _Waiting(operation=operation, opened_by=signer)
        is_new = signer not in waiting.approvals
        waiting.approvals.setdefault(signer, approval)
        return is_new

    def hear_ready(self, state: State, ready: Signed[Ready]) -> bool:
        """Keep a verified READY, the newest of its member; return whether it is new here."""
        known = self._readies.get(ready.signer)
        is_newer = known is None or known.statement.height < ready.statement.height
        if not is_newer or _ready_problem(state, ready) is not None:
            return False
        self._readies[ready.signer] = ready
        return True

    def problem(self, contract: Contract, state: State, operation: Operation) -> str | None:
        """Return why no block after `state` may carry an operation, whoever approved it."""
        place = next_place(contract, state, state.banned)
        return operation_problem(place, operation, scheme=self._scheme)

    def find(self, operation: bytes) -> Operation | None:
        """Return the pending operation of an id."""
        waiting = self._operations.get(operation)
        return None if waiting is None else waiting.operation

    def wish(self, operation: bytes) -> None:
        """Note that an operation is to be approved once it is heard of; the oldest wish goes."""
        self._wishes[operation] = None
        while len(self._wishes) > WISHES_MAX:
            del self._wishes[next(iter(self._wishes))]

    def granted(self, operation: bytes) -> bool:
        """Return whether an operation that is heard of now was to be approved, and forget it."""
        return self._wishes.pop(operation, operation) is None

    def forget(self, contract: Contract, state: State) -> bool:
        """Drop what no block after `state` may carry; return whether an operation is gone."""
        keys = state.membership.public_keys
        changed = {
            member
            for member, (old, new) in enumerate(zip(self._keys, keys, strict=False))
            if old != new
        }
        self._keys = keys
        before = len(self._operations)
        for key, waiting in list(self._operations.items()):
            for signer in list(waiting.approvals):
                if signer in changed or not contract.members[signer].roles:
                    del waiting.approvals[signer]
            problem = self.problem(contract, state, waiting.operation)
            if problem is not None or not waiting.approvals:
                del self._operations[key]
        self._readies = {
            member: ready
            for member, ready in self._readies.items()
            if _ready_problem(state, ready) is None
        }
        return len(self._operations) != before

    def agreed(self) -> tuple[Agreed, ...]:
        """Return every pending operation with its approvals, ascending by id."""
        return tuple(self._operations[key].agreed() for key in sorted(self._operations))

    def readies(self) -> tuple[Signed[Ready], ...]:
        """Return the READYs, ascending by signer."""
        return tuple(self._readies[member] for member in sorted(self._readies))

    def proposable(
        self, contract: Contract, state: State, evidence: Sequence[Evidence] = ()
    ) -> tuple[tuple[Agreed, ...], tuple[Signed[Ready], ...]]:
        """Return what a block after `state` with this evidence carries."""
        operations = proposable_operations(
            contract, state, self.agreed(), evidence, scheme=self._scheme
        )
        return operations, proposable_readies(state, self.readies(), operations)


def _ready_problem(state: State, ready: Signed[Ready]) -> str | None:
    if ready.signer not in state.membership.pending:
        return f"member {ready.signer} is not one that is pending"
    return ready_problem(state, ready)
