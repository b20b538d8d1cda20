"""The tally against a dumb count of the same votes, and its bounds (rules P24-P29, P34, P37)."""

import random
from collections import Counter, defaultdict

import pytest

from consensus.votes import NIL_VALUE, VIEWS_KEPT, Tally, votes_of
from ledger.certificates import check_certificate
from ledger.genesis import public_keys
from ledger.keys import Signed
from ledger.powers import Validator, ValidatorSet
from ledger.records import FRESH, NIL, Phase, Vote
from tests.support.consensus.bench import Bench
from tests.support.ledger import STUB_SCHEME, digest

A, B = digest("A"), digest("B")
PREPARE, COMMIT = Phase.PREPARE, Phase.COMMIT


def validators(*powers: int) -> ValidatorSet:
    pairs = enumerate(powers)
    return ValidatorSet(validators=tuple(Validator(member=i, power=power) for i, power in pairs))


def vote(
    member: int, phase: Phase, view: int, block: bytes = NIL, valid_view: int = FRESH
) -> Signed[Vote]:
    statement = Vote(phase=phase, height=1, view=view, valid_view=valid_view, block_id=block)
    return Signed(statement=statement, signer=member, signature=bytes([member]) * 64)


@pytest.mark.parametrize(
    ("powers", "expected"),
    [
        ((1, 1, 1, 1), [False, False, True, True]),
        ((1, 1, 1), [False, False, True]),
        ((3, 1, 1, 1), [False, False, True, True]),
        ((5, 5, 5, 1), [False, False, True, True]),
        ((2, 2, 2, 3), [False, False, False, True]),
    ],
)
def test_a_quorum_is_more_than_two_thirds_of_the_power(
    powers: tuple[int, ...], expected: list[bool]
) -> None:
    """Rules P24-P28: `3w > 2W`, in powers, at the very vote that reaches it."""
    tally = Tally(validators(*powers))
    seen = []

    for member in range(len(powers)):
        tally.add(vote(member, PREPARE, 0, A), view=0)
        seen.append(tally.quorum(PREPARE, 0) == (FRESH, A))

    assert seen == expected


def test_the_tally_agrees_with_a_dumb_count(seed: int) -> None:
    """Thresholds of every phase and view, after every vote of 300 random histories."""
    rng = random.Random(seed)  # reproducible tests
    for _ in range(300):
        powers = [rng.randint(1, 5) for _ in range(rng.randint(1, 7))]
        own = validators(*powers)
        tally, dumb = Tally(own), Dumb(powers)
        for _ in range(40):
            one = random_vote(rng, len(powers))
            tally.add(one, view=3)
            dumb.add(one)
            for phase in Phase:
                for view in range(4):
                    assert tally.quorum(phase, view) == dumb.quorum(phase, view)
                    assert tally.is_complete(phase, view) == dumb.is_complete(phase, view)
            assert tally.skip_view(0) == dumb.skip_view(0)
            assert tally.commit_view == dumb.highest(COMMIT, nil_only=False)
            assert tally.nil_view == dumb.highest(COMMIT, nil_only=True)


def random_vote(rng: random.Random, members: int) -> Signed[Vote]:
    phase, view = rng.choice([PREPARE, COMMIT]), rng.randint(0, 3)
    block = rng.choice([NIL, A, A, B])
    is_again = phase is PREPARE and block != NIL and view > 0 and rng.random() < 0.3
    valid_view = rng.randrange(view) if is_again else FRESH
    return vote(rng.randrange(members), phase, view, block, valid_view)


class Dumb:
    """Keeps every first vote in a list and counts them anew for each question."""

    def __init__(self, powers: list[int]) -> None:
        self.powers = powers
        self.first: dict[tuple[int, Phase, int], Vote] = {}

    def add(self, signed: Signed[Vote]) -> None:
        one = signed.statement
        self.first.setdefault((signed.signer, one.phase, one.view), one)

    def quorum(self, phase: Phase, view: int) -> tuple[int, bytes] | None:
        sums: Counter[tuple[int, bytes]] = Counter()
        for (member, voted, at), one in self.first.items():
            if (voted, at) == (phase, view):
                sums[one.valid_view, one.block_id] += self.powers[member]
        found = [value for value, power in sums.items() if 3 * power > 2 * sum(self.powers)]
        return found[0] if found else None

    def is_complete(self, phase: Phase, view: int) -> bool:
        power = sum(
            self.powers[member] for member, voted, at in self.first if (voted, at) == (phase, view)
        )
        return 3 * power > 2 * sum(self.powers)

    def skip_view(self, own: int) -> int | None:
        newest: dict[int, int] = defaultdict(int)
        for member, _, view in self.first:
            newest[member] = max(newest[member], view)
        for view in range(3, own, -1):
            power = sum(self.powers[member] for member, at in newest.items() if at >= view)
            if 3 * power >= sum(self.powers):
                return view
        return None

    def highest(self, phase: Phase, *, nil_only: bool) -> int:
        for view in range(3, -1, -1):
            if nil_only and self.quorum(phase, view) == NIL_VALUE:
                return view
            if not nil_only and self.is_complete(phase, view):
                return view
        return -1


def test_the_first_vote_counts_and_the_second_is_a_contradiction() -> None:
    """Rule P34: whatever field differs; the same vote again is nothing."""
    tally = Tally(validators(1, 1, 1, 1))
    first = vote(0, PREPARE, 2, A)

    added = [
        tally.add(first, view=0),
        tally.add(first, view=0),
        tally.add(vote(0, PREPARE, 2, A, 1), view=0),
        tally.add(vote(9, PREPARE, 2, A), view=0),
    ]

    assert [each.is_new for each in added] == [True, False, False, False]
    assert [each.contradicted for each in added] == [None, None, first, None]


def test_prepares_with_different_valid_views_are_different_values() -> None:
    """Rules P25 and P34: a mixed certificate does not exist."""
    tally = Tally(validators(1, 1, 1, 1))

    for member, valid_view in enumerate((FRESH, 0, 0)):
        tally.add(vote(member, PREPARE, 2, A, valid_view), view=2)
    before = tally.quorum(PREPARE, 2)
    tally.add(vote(3, PREPARE, 2, A, 0), view=2)

    assert before is None
    assert tally.is_complete(PREPARE, 2)
    assert tally.certificate(PREPARE, 2).valid_view == 0


def test_a_certificate_made_from_votes_checks_and_gives_the_votes_back() -> None:
    bench = Bench()
    tally = Tally(bench.state.validators)
    votes = [bench.signed_vote(member, COMMIT, 1, A) for member in range(4)]

    for each in votes:
        tally.add(each, view=1)
    certificate = tally.certificate(COMMIT, 1)

    check_certificate(
        certificate,
        bench.state.validators,
        public_keys(bench.contract),
        chain_id=bench.state.chain_id,
        scheme=STUB_SCHEME,
    )
    assert list(votes_of(certificate, bench.state.validators)) == votes


def test_a_certificate_keeps_its_quorum_against_votes_recorded_before() -> None:
    """Rule P37: kept as a whole; late votes for its value join it."""
    bench = Bench()
    tally = Tally(bench.state.validators)
    certificate = bench.certificate(PREPARE, 0, A, members=(0, 1, 2))
    tally.add(bench.signed_vote(0, PREPARE, 0, B), view=0)

    tally.add_certificate(certificate)
    tally.add(bench.signed_vote(3, PREPARE, 0, A), view=0)

    assert tally.quorum(PREPARE, 0) == (FRESH, A)
    assert len(tally.certificate(PREPARE, 0).signatures) == 4
    assert {each.statement.block_id for each in tally.votes(PREPARE, 0)} == {A}


def test_a_certificate_holds_what_came_after_it_was_asked_for_before() -> None:
    """Rule P40: a late vote, and the votes of a certificate that came as a whole."""
    bench = Bench()
    by_vote, by_certificate = Tally(bench.state.validators), Tally(bench.state.validators)
    for tally in (by_vote, by_certificate):
        for member in (0, 1, 2):
            tally.add(bench.signed_vote(member, COMMIT, 0, A), view=0)
    first = [len(each.certificate(COMMIT, 0).signatures) for each in (by_vote, by_certificate)]

    by_vote.add(bench.signed_vote(3, COMMIT, 0, A), view=0)
    by_certificate.add_certificate(bench.certificate(COMMIT, 0, A, members=(1, 2, 3)))
    late = [len(each.certificate(COMMIT, 0).signatures) for each in (by_vote, by_certificate)]

    assert first == [3, 3]
    assert late == [4, 4]


def test_beyond_the_next_view_only_the_newest_vote_of_each_kind_is_kept() -> None:
    """Rule P37: a flood of far views costs two votes per validator."""
    tally = Tally(validators(1, 1, 1, 1))

    for view in range(5_000):
        tally.add(vote(0, PREPARE, view), view=0)
        tally.add(vote(0, COMMIT, view), view=0)
    late = tally.add(vote(0, COMMIT, 4_000), view=0)

    assert tally.size() == 2 * (2 + 1)
    assert not late.is_new
    assert [each.statement.view for each in tally.leading_votes(2)] == [4_999]


def test_a_far_quorum_stays_provable_when_its_members_move_on() -> None:
    """Rule P37: what a quorum signed is not dropped for a newer vote."""
    tally = Tally(validators(1, 1, 1, 1))

    for view in (5, 6):
        for member in range(3):
            tally.add(vote(member, PREPARE, view, A if view == 5 else B), view=0)

    assert len(tally.certificate(PREPARE, 5).signatures) == 3
    assert tally.prepared == (6, (FRESH, B))


def test_views_long_past_are_forgotten_but_not_a_decision() -> None:
    """Rule P37."""
    tally = Tally(validators(1, 1, 1, 1))
    for member in range(3):
        tally.add(vote(member, PREPARE, 0, A), view=0)
        tally.add(vote(member, COMMIT, 0, A), view=0)

    tally.forget_before(VIEWS_KEPT + 1)
    late = tally.add(vote(3, COMMIT, 0, A), view=VIEWS_KEPT + 1)

    assert tally.size() == 3
    assert tally.certificate(COMMIT, 0).block_id == A
    assert not late.is_new


def test_the_view_to_skip_to_is_reached_by_blocking_power() -> None:
    """Rule P29: `3w >= W`, by the newest vote or proposal of each, together."""
    tally = Tally(validators(2, 2, 2))

    tally.note_view(0, 7)
    tally.note_view(9, 99)
    first = tally.skip_view(0)
    tally.add(vote(1, COMMIT, 9), view=0)

    assert first == 7
    assert tally.skip_view(8) == 9
    assert tally.skip_view(9) is None


def test_a_newer_far_vote_takes_only_the_place_of_the_same_member_s() -> None:
    """Rule P37: the votes of others in the view that it was in stay."""
    tally = Tally(validators(1, 1, 1, 1))
    tally.add(vote(0, PREPARE, 5), view=0)
    tally.add(vote(1, PREPARE, 5), view=0)

    tally.add(vote(0, PREPARE, 6), view=0)

    assert [each.signer for each in tally.votes(PREPARE, 5)] == [1]
    assert [each.signer for each in tally.votes(PREPARE, 6)] == [0]
