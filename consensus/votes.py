"""The votes of one height: powers summed once, thresholds found once, contradictions kept (P34).

Memory is bounded (rule P37): per validator one PREPARE and one COMMIT in each view up to the next
one, and beyond it only the newest of each; views long past are forgotten. A certificate is kept as
a whole, so that a vote in it that conflicts with one recorded earlier cannot lose its quorum.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ledger.certificates import make_certificate, merge_votes
from ledger.keys import Signed
from ledger.powers import ValidatorSet
from ledger.records import FRESH, NIL, Phase, QuorumCertificate, Vote
from ledger.slots import slotted

VIEWS_KEPT: Final = 64
"""Views before the current one whose votes are kept."""

Value: TypeAlias = tuple[int, bytes]
"""What a vote is for: valid view and block id; equal values have equal signed bytes."""
NIL_VALUE: Final[Value] = (FRESH, NIL)


@dataclass(slots=True)
class Ballot:
    """The votes of one phase in one view.

    `certificate` is one that came as a whole; `made` is the one made of all that is here, until
    something new comes.
    """

    votes: dict[int, Signed[Vote]] = field(default_factory=dict)
    powers: dict[Value, int] = field(default_factory=dict)
    power: int = 0
    quorum: Value | None = None
    certificate: QuorumCertificate | None = None
    made: QuorumCertificate | None = None


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """What became of a vote: whether it was counted, and the earlier vote that it contradicts."""

    is_new: bool
    contradicted: Signed[Vote] | None = None


_COUNTED = Addition(is_new=True)
_KNOWN = Addition(is_new=False)


class Tally:
    """Counts the votes of one height in the powers of its validators.

    Attributes:
        prepared: Highest view with a PREPARE quorum for a block, and the value.
        committed: A view with a COMMIT quorum for a block, and the value.
        commit_view: Highest view with a quorum of COMMIT for anything, -1 before.
        nil_view: Highest view with a quorum of COMMIT nil, -1 before.
        turns: Grows whenever a rule may see another answer than before: at a threshold that is
            reached for the first time, and at a member in a later view than it was in.
    """

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self.prepared: tuple[int, Value] | None = None
        self.committed: tuple[int, Value] | None = None
        self.commit_view = -1
        self.nil_view = -1
        self.turns = 0
        self._ballots: dict[tuple[Phase, int], Ballot] = {}
        self._newest: dict[int, int] = {}
        self._highest = -1
        self._far: dict[tuple[Phase, int], int] = {}

    def add(self, vote: Signed[Vote], *, view: int) -> Addition:
        """Count a vote whose signature was checked; `view` is the one this node is in."""
        statement = vote.statement
        power = self.validators.power_of(vote.signer)
        if power == 0 or statement.view < view - VIEWS_KEPT:
            return _KNOWN
        self.note_view(vote.signer, statement.view)
        key = statement.phase, statement.view
        ballot = self._ballots.get(key)
        if ballot is not None:
            first = ballot.votes.get(vote.signer)
            if first is not None:
                is_same = first.statement == statement
                return _KNOWN if is_same else Addition(is_new=False, contradicted=first)
        if statement.view > view + 1 and not self._make_room(vote, view):
            return _KNOWN
        if ballot is None:
            ballot = self._ballots.setdefault(key, Ballot())
        value = statement.valid_view, statement.block_id
        ballot.votes[vote.signer] = vote
        ballot.made = None
        was_complete = self.validators.has_quorum(ballot.power)
        ballot.power += power
        ballot.powers[value] = ballot.powers.get(value, 0) + power
        if was_complete or self.validators.has_quorum(ballot.power):
            self.turns += not was_complete
            self._find_thresholds(key, ballot, value)
        return _COUNTED

    def add_certificate(self, certificate: QuorumCertificate) -> None:
        """Keep a checked certificate as a whole; its votes are added one by one besides."""
        self.turns += 1
        key = certificate.phase, certificate.view
        ballot = self._ballots.setdefault(key, Ballot())
        ballot.certificate = certificate
        ballot.made = None
        self._note_quorum(key, ballot, (certificate.valid_view, certificate.block_id))

    def note_view(self, member: int, view: int) -> None:
        """Remember that a member was in `view` (rule P29)."""
        if view > self._newest.get(member, -1) and self.validators.power_of(member):
            self._newest[member] = view
            if view > 0:
                self.turns += 1
            self._highest = max(self._highest, view)

    def skip_view(self, view: int) -> int | None:
        """Return the view above `view` that blocking power has reached (rule P29)."""
        if self._highest <= view:
            return None
        power = 0
        for member in sorted(self._newest, key=self._newest.__getitem__, reverse=True):
            power += self.validators.power_of(member)
            if self.validators.is_blocked_by(power):
                return self._newest[member] if self._newest[member] > view else None
        return None

    def quorum(self, phase: Phase, view: int) -> Value | None:
        """Return the value that a quorum voted for in one phase and view."""
        ballot = self._ballots.get((phase, view))
        return None if ballot is None else ballot.quorum

    def is_complete(self, phase: Phase, view: int) -> bool:
        """Return whether a quorum voted in one phase and view, for whatever (rules P24, P27)."""
        ballot = self._ballots.get((phase, view))
        if ballot is None:
            return False
        return ballot.quorum is not None or self.validators.has_quorum(ballot.power)

    def certificate(self, phase: Phase, view: int) -> QuorumCertificate:
        """Return the certificate of the quorum in one phase and view, with every vote for it."""
        ballot = self._ballots[phase, view]
        assert ballot.quorum is not None, "no quorum, no certificate"
        if ballot.made is None:
            votes = [each for each in ballot.votes.values() if _value(each) == ballot.quorum]
            ballot.made = (
                make_certificate(votes, self.validators)
                if ballot.certificate is None
                else merge_votes(ballot.certificate, votes, self.validators)
            )
        return ballot.made

    def votes(self, phase: Phase, view: int) -> tuple[Signed[Vote], ...]:
        """Return the votes of one phase and view in member order, a certificate's among them."""
        ballot = self._ballots.get((phase, view))
        if ballot is None:
            return ()
        found = dict(ballot.votes)
        if ballot.certificate is not None:
            votes = votes_of(ballot.certificate, self.validators)
            found.update({each.signer: each for each in votes})
        return tuple(found[member] for member in sorted(found))

    def newest_of(self, member: int, phase: Phase) -> Signed[Vote] | None:
        """Return the newest vote of a member in one phase, a certificate's among them (P60)."""
        newest: Signed[Vote] | None = None
        for voted_phase, view in self._ballots:
            if voted_phase is phase and (newest is None or newest.statement.view < view):
                found = [each for each in self.votes(phase, view) if each.signer == member]
                newest = found[0] if found else newest
        return newest

    def leading_votes(self, view: int) -> tuple[Signed[Vote], ...]:
        """Return for each member one vote in `view` or later, if there is one (rules P29, P35)."""
        found: dict[int, Signed[Vote]] = {}
        for (_, voted), ballot in self._ballots.items():
            if voted >= view:
                found.update(ballot.votes)
        return tuple(found[member] for member in sorted(found))

    def forget_before(self, view: int) -> None:
        """Drop the votes of views that are long past when `view` is the current one."""
        decided = None if self.committed is None else (Phase.COMMIT, self.committed[0])
        for key in [key for key in self._ballots if key[1] < view - VIEWS_KEPT]:
            if key != decided:
                del self._ballots[key]

    def size(self) -> int:
        """Return how many votes are kept."""
        return sum(len(ballot.votes) for ballot in self._ballots.values())

    def _make_room(self, vote: Signed[Vote], view: int) -> bool:
        """Keep only the newest vote of a member and phase beyond the next view (rule P37)."""
        key = vote.statement.phase, vote.signer
        earlier = self._far.get(key, -1)
        if earlier > vote.statement.view:
            return False
        if earlier > view + 1:
            self._remove(vote.statement.phase, earlier, vote.signer)
        self._far[key] = vote.statement.view
        return True

    def _remove(self, phase: Phase, view: int, member: int) -> None:
        ballot = self._ballots[phase, view]
        if ballot.quorum is not None:
            # What a quorum signed stays provable; there are no more such views than honest ones.
            return
        power = self.validators.power_of(member)
        ballot.powers[_value(ballot.votes.pop(member))] -= power
        ballot.power -= power
        if not ballot.votes and ballot.certificate is None:
            del self._ballots[phase, view]

    def _find_thresholds(self, key: tuple[Phase, int], ballot: Ballot, value: Value) -> None:
        has_quorum = self.validators.has_quorum
        if ballot.quorum is None and has_quorum(ballot.powers[value]):
            self._note_quorum(key, ballot, value)
        if key[0] is Phase.COMMIT and key[1] > self.commit_view and has_quorum(ballot.power):
            self.commit_view = key[1]

    def _note_quorum(self, key: tuple[Phase, int], ballot: Ballot, value: Value) -> None:
        self.turns += 1
        ballot.quorum = value
        phase, view = key
        if phase is Phase.COMMIT:
            self.commit_view = max(self.commit_view, view)
            if value == NIL_VALUE:
                self.nil_view = max(self.nil_view, view)
            else:
                self.committed = view, value
        elif value != NIL_VALUE and (self.prepared is None or view > self.prepared[0]):
            self.prepared = view, value


def votes_of(certificate: QuorumCertificate, validators: ValidatorSet) -> Iterable[Signed[Vote]]:
    """Yield the single votes that a checked certificate is made of."""
    vote = certificate.vote
    for position, signature in zip(certificate.positions, certificate.signatures, strict=True):
        yield Signed(statement=vote, signer=validators.members[position], signature=signature)


def _value(vote: Signed[Vote]) -> Value:
    return vote.statement.valid_view, vote.statement.block_id
