"""The updates and HAVE lists of one height, and what a proposer may build of them (P10-P12)."""

from collections import Counter
from typing import Final

from ledger.genesis import Contract
from ledger.inclusion import (
    disqualification,
    listing_problem,
    need,
    opens_for_training,
    vouched,
    vouched_headers,
)
from ledger.keys import Signed
from ledger.records import HaveEntry, HaveList, UpdateHeader, header_digest
from ledger.state import RECENT_TRAINING_BLOCKS, State

HEADERS_PER_TRAINER_MAX: Final = 4
"""Headers of one trainer kept without anybody listing them; one is what an honest trainer sends."""
RECENT_HEIGHTS: Final = 4
"""Heights for which a trainer's header makes it expected, however late it came (rule P11)."""

Proposable = tuple[tuple[Signed[HaveList], ...], tuple[Signed[UpdateHeader], ...]]
"""The HAVE lists of Q and the headers that a block with them carries."""


class Collection:
    """What is known about the updates of one height.

    Args:
        contract: The terms in force.
        state: The state after the parent.
        heard: For each trainer the newest height for which a header of it arrived.

    Attributes:
        has_quorum: Whether HAVE lists of a quorum are here (rule P11).
    """

    def __init__(self, contract: Contract, state: State, heard: dict[int, int]) -> None:
        self._contract = contract
        self._state = state
        self._heard = heard
        self.is_grace_over = False
        self.headers: dict[bytes, Signed[UpdateHeader]] = {}
        self.held: dict[int, bytes] = {}
        self.haves: dict[int, Signed[HaveList]] = {}
        self.has_quorum = False
        self._need = need(contract, state)
        self._is_training = opens_for_training(contract, state)
        self._trainers = tuple(
            number
            for number, member in enumerate(contract.members)
            if member.is_trainer and number not in state.banned
        )
        self._power = 0
        self._listed: set[bytes] = set()
        self._first: dict[int, Signed[UpdateHeader]] = {}
        self._counts: dict[int, int] = {}

    @property
    def is_ready(self) -> bool:
        """Whether a proposer need not wait for more HAVE lists (rule P12)."""
        return self.has_quorum and (self.is_grace_over or self.has_all)

    @property
    def has_all(self) -> bool:
        """Whether every validator's HAVE list is here, so that waiting brings no more."""
        return len(self.haves) == len(self._state.validators.members)

    def add_header(self, update: Signed[UpdateHeader]) -> Signed[UpdateHeader] | None:
        """Keep a header of this height; return another one of the trainer that it contradicts."""
        trainer = update.statement.trainer
        digest = header_digest(update.statement, self._state.chain_id)
        first = self._first.setdefault(trainer, update)
        if digest not in self.headers:
            count = self._counts.get(trainer, 0)
            if count >= HEADERS_PER_TRAINER_MAX and digest not in self._listed:
                return None
            self._counts[trainer] = count + 1
            self.headers[digest] = update
        return first if first.statement != update.statement else None

    def hold(self, update: Signed[UpdateHeader]) -> None:
        """Note that the body of an update is durable here; list it if it may count (rule P10)."""
        trainer = update.statement.trainer
        problem = disqualification(self._contract, self._state, update.statement)
        if problem is not None or not self._is_training:
            return
        digest = header_digest(update.statement, self._state.chain_id)
        if self.held.setdefault(trainer, digest) == digest:
            self.headers[digest] = update

    def header_of(self, trainer: int) -> Signed[UpdateHeader] | None:
        """Return the first header of a trainer that came, None if none did."""
        return self._first.get(trainer)

    def size(self) -> int:
        """Return how many headers, bodies and HAVE lists are here; grows with each new one."""
        return len(self.headers) + len(self.held) + len(self.haves)

    def entries(self) -> tuple[HaveEntry, ...]:
        """Return what this node holds, as its HAVE list says it."""
        return tuple(
            HaveEntry(trainer=trainer, header_digest=self.held[trainer])
            for trainer in sorted(self.held)
        )

    def is_complete(self) -> bool:
        """Return whether everything expected, and enough, is held (rule P11)."""
        if not self._is_training:
            return True  # the height is there for an operation: nobody trains for it
        enough = len(self.held) >= self._need
        return enough and all(trainer in self.held for trainer in self.expected())

    def expected(self) -> tuple[int, ...]:
        """Return the trainers worth waiting for (rule P11): a local matter, checked by nobody.

        Founding members count as admitted at height 0, so all are expected until the older of the
        last two training blocks exists.
        """
        recent = self._state.recent_training[-RECENT_TRAINING_BLOCKS:]
        if len(recent) < RECENT_TRAINING_BLOCKS:
            return self._trainers
        included = {trainer for block in recent for trainer in block.trainers}
        oldest = self._state.height + 1 - RECENT_HEIGHTS
        return tuple(
            each
            for each in self._trainers
            if each in included or self._heard.get(each, -1) >= oldest
        )

    def add_have(self, have: Signed[HaveList]) -> Signed[HaveList] | None:
        """Keep a validator's HAVE list; return the earlier one that it contradicts.

        One that no block can carry is as good as none.
        """
        if listing_problem(self._contract, have.statement) is not None:
            return None
        first = self.haves.get(have.signer)
        if first is not None:
            return first if first.statement != have.statement else None
        power = self._state.validators.power_of(have.signer)
        if power:
            self.haves[have.signer] = have
            self._power += power
            self.has_quorum = self._state.validators.has_quorum(self._power)
            self._listed.update(each.header_digest for each in have.statement.entries)
        return None

    def proposable(self) -> Proposable | None:
        """Return the HAVEs of Q and the vouched headers, None while a header is missing (P12).

        All HAVEs are taken. Where a header that they vouch for is unknown here, the lists that name
        it are left out, if the others are still a quorum.
        """
        haves = [self.haves[member] for member in sorted(self.haves)]
        unknown = {key for key in self._vouched(haves) if key[1] not in self.headers}
        if unknown:
            haves = [
                have
                for have in haves
                if all((e.trainer, e.header_digest) not in unknown for e in have.statement.entries)
            ]
        power = sum(self._state.validators.power_of(have.signer) for have in haves)
        if not self._state.validators.has_quorum(power):
            return None
        return tuple(haves), vouched_headers(self._state, haves, self.headers.values())

    def doubtful(self) -> tuple[Signed[UpdateHeader], ...]:
        """Return the headers held here that some validator's HAVE list does not show.

        Its trainer may be gone, and a proposer that lacks a vouched header cannot propose.
        """
        validators = self._state.validators
        lists = Counter(e.header_digest for h in self.haves.values() for e in h.statement.entries)
        held = (self.held[trainer] for trainer in sorted(self.held))
        return tuple(
            self.headers[digest] for digest in held if lists[digest] < len(validators.members)
        )

    def _vouched(self, haves: list[Signed[HaveList]]) -> tuple[tuple[int, bytes], ...]:
        return vouched(haves, self._state.validators)
