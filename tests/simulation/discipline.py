"""What honest members may sign: one statement per slot, and votes that keep to locks.

Judged from outside, by what was said by anybody so far; a breach is a `ViolationError`. Heights'
validator sets come from the auditor's own chain.
"""

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TypeAlias

from ledger.certificates import signers
from ledger.keys import Signed
from ledger.metrics import MetricsReport
from ledger.powers import ValidatorSet
from ledger.records import (
    FRESH,
    NIL,
    HaveList,
    Phase,
    Proposal,
    QuorumCertificate,
    UpdateHeader,
    Vote,
)
from tests.simulation.packets import ViolationError

Slot: TypeAlias = tuple[object, ...]
Said: TypeAlias = Proposal | Vote | HaveList | UpdateHeader | MetricsReport


class Discipline:
    """Remembers every statement of honest members, their locks, and the PREPAREs of everybody."""

    def __init__(
        self, honest: AbstractSet[int], validators_of: Callable[[int], ValidatorSet]
    ) -> None:
        self.slots: dict[Slot, Said] = {}
        self.locks: dict[int, Vote] = {}
        self.prepares: dict[tuple[int, int, bytes], dict[int, set[int]]] = defaultdict(dict)
        self.commits: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.newest: dict[int, dict[int, int]] = defaultdict(dict)
        self._honest = honest
        self._validators_of = validators_of

    def branch(self) -> "Discipline":
        """A copy that goes its own way."""
        other = Discipline(self._honest, self._validators_of)
        other.slots, other.locks = dict(self.slots), dict(self.locks)
        for where, voted in self.prepares.items():
            other.prepares[where] = {view: set(members) for view, members in voted.items()}
        for place, members in self.commits.items():
            other.commits[place] = set(members)
        for height, newest in self.newest.items():
            other.newest[height] = dict(newest)
        return other

    def key(self, number: Callable[[object], int]) -> tuple[object, ...]:
        """What is remembered, as something to compare; `number` gives equal values one number.

        Views and COMMITs of honest members follow from the slots.
        """
        prepares = (
            (where, view, frozenset(members))
            for where, voted in self.prepares.items()
            for view, members in voted.items()
        )
        return (
            frozenset(map(number, self.slots.items())),
            frozenset(map(number, self.locks.items())),
            frozenset(map(number, prepares)),
        )

    def on_statement(self, signed: Signed[Said]) -> None:
        """Look at a statement that its signer is about to send.

        Raises:
            ViolationError: If an honest member equivocates or votes against a lock.
        """
        statement, member = signed.statement, signed.signer
        if isinstance(statement, Vote) and statement.phase is Phase.PREPARE:
            where = (statement.height, statement.view, statement.block_id)
            self.prepares[where].setdefault(statement.valid_view, set()).add(member)
        if member not in self._honest:
            return
        first = self.slots.setdefault(slot_of(member, statement), statement)
        if first is statement:
            self._note_view(member, statement)
            if isinstance(statement, Vote) and statement.block_id != NIL:
                self._check_lock(member, statement)
        elif first != statement:
            raise ViolationError(f"equivocation by honest member {member}: {first}, {statement}")

    def on_certificate(self, certificate: QuorumCertificate) -> None:
        """Learn the votes of liars from a certificate: they may have shown them to nobody else."""
        if certificate.phase is Phase.PREPARE:
            members = signers(certificate, self._validators_of(certificate.height))
            where = (certificate.height, certificate.view, certificate.block_id)
            liars = set(members) - self._honest
            self.prepares[where].setdefault(certificate.valid_view, set()).update(liars)

    def check_entry(self, member: int, height: int, view: int) -> None:
        """Rules P27, P29 and P32: who enters a view has a reason; liars may have said anything.

        Raises:
            ViolationError: If neither a quorum voted COMMIT in the view before, nor blocking power
                reached the view.
        """
        validators = self._validators_of(height)
        liars = set(validators.members) - self._honest
        reached = {each for each, newest in self.newest[height].items() if newest >= view}
        committed = sum(map(validators.power_of, self.commits[height, view - 1] | liars))
        ahead = sum(map(validators.power_of, reached | liars))
        if not 3 * committed > 2 * validators.total and not 3 * ahead >= validators.total:
            raise ViolationError(f"member {member} entered view {view} of {height} without a proof")

    def _note_view(self, member: int, statement: Said) -> None:
        if isinstance(statement, Vote | Proposal):
            newest = self.newest[statement.height]
            newest[member] = max(newest.get(member, 0), statement.view)
        if isinstance(statement, Vote) and statement.phase is Phase.COMMIT:
            self.commits[statement.height, statement.view].add(member)

    def _check_lock(self, member: int, vote: Vote) -> None:
        """Rules P22, P23 and P25, from what was said by anybody so far."""
        if vote.phase is Phase.COMMIT:
            if not self._has_prepare_quorum(vote.height, vote.view, vote.block_id):
                raise ViolationError(f"member {member} committed without a PREPARE quorum: {vote}")
            self.locks[member] = vote
            return
        lock = self.locks.get(member)
        if (
            lock is not None
            and lock.height == vote.height
            and lock.view < vote.view
            and lock.block_id != vote.block_id
            and vote.valid_view < lock.view
        ):
            raise ViolationError(f"member {member} locked by {lock} prepared {vote}")
        if vote.valid_view != FRESH and not self._has_prepare_quorum(
            vote.height, vote.valid_view, vote.block_id
        ):
            raise ViolationError(f"member {member} prepared without a certificate: {vote}")

    def _has_prepare_quorum(self, height: int, view: int, block: bytes) -> bool:
        validators = self._validators_of(height)
        voted = self.prepares.get((height, view, block), {})
        return any(
            3 * sum(map(validators.power_of, members)) > 2 * validators.total
            for members in voted.values()
        )


def slot_of(member: int, statement: Said) -> Slot:
    """What a member may sign only once (rule P60)."""
    match statement:
        case Vote():
            return (member, statement.phase, statement.height, statement.view)
        case Proposal():
            return (member, "proposal", statement.height, statement.view)
        case HaveList():
            return (member, "have", statement.height)
        case UpdateHeader():
            return (member, "update", statement.height)
        case MetricsReport():
            return (member, "metrics", statement.height)
