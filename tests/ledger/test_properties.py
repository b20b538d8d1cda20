"""The numbers under all safety, each on 50,000 random examples against a dumb twin.

Plain pytest takes a tenth of them; `FEDNODE_EXAMPLES` sets how many (in CI all).
"""

import os
import random
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import Any

import pytest

from consensus.messages import Message
from ledger.encoding import decode, encode_as
from ledger.errors import DecodeError
from ledger.genesis import Genesis
from ledger.inclusion import vouched
from ledger.keys import Signed
from ledger.merkle import (
    EMPTY_RANGE,
    prove_consistency,
    prove_inclusion,
    root,
)
from ledger.powers import (
    Validator,
    ValidatorSet,
    cap,
    cap_budget,
    is_blocking,
    is_quorum,
)
from ledger.records import (
    Block,
    HaveEntry,
    HaveList,
    QuorumCertificate,
    SignedHave,
    SignedProposal,
    SignedUpdate,
    SignedVote,
)
from ledger.reputation import SCALE, Scores, ema, participated, voting_powers
from ledger.state import State
from tests.ledger.test_merkle_proofs import is_consistent, is_included, recursive_root
from tests.support.random_records import random_value

EXAMPLES = int(os.environ.get("FEDNODE_EXAMPLES", "5000"))
DIGEST = bytes(32)
RECORDS: tuple[Any, ...] = (
    Block,
    Genesis,
    QuorumCertificate,
    SignedHave,
    SignedProposal,
    SignedUpdate,
    SignedVote,
    State,
    Message,
)


@pytest.fixture
def examples(seed: int, request: pytest.FixtureRequest) -> Iterator[random.Random]:
    """One generator per example, each with a seed of its own."""
    return (random.Random(f"{request.node.name}/{seed}/{i}") for i in range(EXAMPLES))


def drawn_scores(rng: random.Random) -> list[int]:
    """Raw powers of 1 to 13 members: alike, far apart, or one giant among them."""
    count = rng.randint(1, 13)
    largest = rng.choice((1, 3, 40, 2**20, 2**40))
    scores = [rng.randint(1, largest) for _ in range(count)]
    if rng.random() < 0.3:
        scores[rng.randrange(count)] *= 1000
    return scores


def drawn_network(rng: random.Random) -> tuple[list[int], int]:
    """Capped powers of at least four members, and the budget of 1 or more that they bear."""
    scores = drawn_scores(rng)
    scores += [rng.randint(1, 9) for _ in range(4 - len(scores))]
    budget = rng.randint(1, cap_budget(len(scores), len(scores)))
    return list(cap(scores, budget)), budget


def heaviest(powers: list[int], count: int) -> int:
    return sum(sorted(powers)[len(powers) - count :])


def drawn_quorum(powers: list[int], rng: random.Random) -> set[int]:
    """Members in random order until they are a quorum, by the definition in words."""
    order = rng.sample(range(len(powers)), len(powers))
    chosen: set[int] = set()
    for member in order:
        chosen.add(member)
        if 3 * sum(powers[each] for each in chosen) > 2 * sum(powers):
            break
    return chosen


def test_the_cap_holds_and_no_higher_ceiling_would(examples: Iterator[random.Random]) -> None:
    """Rule P41: the largest c with 3 * top_b(min(r, c)) < sum(min(r, c))."""
    for rng in examples:
        scores = drawn_scores(rng)
        budget = rng.randint(0, cap_budget(len(scores), len(scores)))
        capped = list(cap(scores, budget))
        ceiling = max(capped)

        assert capped == [min(score, ceiling) for score in scores]
        assert 3 * heaviest(capped, budget) < sum(capped)
        if ceiling < max(scores):
            higher = [min(score, ceiling + 1) for score in scores]
            assert 3 * heaviest(higher, budget) >= sum(higher)


def test_two_quorums_share_an_honest_member_whoever_lies(
    examples: Iterator[random.Random],
) -> None:
    """Agreement rests on this: quorums of unequal, capped powers and any liars in the budget."""
    for rng in examples:
        powers, budget = drawn_network(rng)
        first, second = drawn_quorum(powers, rng), drawn_quorum(powers, rng)
        shared = [powers[each] for each in first & second]

        assert sum(shared) > heaviest(powers, budget)


def test_quorum_and_blocking_are_each_others_complement(examples: Iterator[random.Random]) -> None:
    for rng in examples:
        powers, _ = drawn_network(rng)
        part = sum(powers[each] for each in drawn_quorum(powers, rng))
        part -= rng.choice((0, 1))

        assert is_quorum(part, sum(powers)) == (3 * part > 2 * sum(powers))
        assert is_quorum(part, sum(powers)) != is_blocking(sum(powers) - part, sum(powers))


def listing(powers: list[int], lists: dict[int, set[int]]) -> set[int]:
    """The trainers that blocking power lists, by the production code."""
    validators = ValidatorSet(
        validators=tuple(Validator(member=i, power=power) for i, power in enumerate(powers))
    )
    haves = [
        Signed(
            statement=HaveList(
                height=1,
                entries=tuple(
                    HaveEntry(trainer=trainer, header_digest=DIGEST) for trainer in sorted(listed)
                ),
            ),
            signer=member,
            signature=bytes(64),
        )
        for member, listed in lists.items()
    ]
    return {trainer for trainer, _ in vouched(haves, validators)}


def test_theorem_a_what_all_honest_validators_list_is_in(examples: Iterator[random.Random]) -> None:
    """Rule P12: the adversary is any b members, lists what it likes and picks the quorum Q."""
    for rng in examples:
        powers, budget = drawn_network(rng)
        liars = set(rng.sample(range(len(powers)), budget))
        lists = {
            member: set() if member in liars else {0} | set(rng.sample(range(1, 4), 1))
            for member in drawn_quorum(powers, rng)
        }

        assert 0 in listing(powers, lists)


def test_theorem_b_what_is_in_was_listed_by_somebody_honest(
    examples: Iterator[random.Random],
) -> None:
    """Rule P12: whoever lies, somebody honest has the body to pull."""
    for rng in examples:
        powers, budget = drawn_network(rng)
        liars = set(rng.sample(range(len(powers)), budget))
        honest = {member: {1 + member % 3} for member in range(len(powers)) if member not in liars}
        lists = {
            member: {0, 1, 2, 3} if member in liars else honest[member]
            for member in drawn_quorum(powers, rng)
        }

        held = {trainer for member in lists.keys() - liars for trainer in honest[member]}
        assert listing(powers, lists) <= held


def test_a_score_stays_between_where_it_was_and_where_it_goes(
    examples: Iterator[random.Random],
) -> None:
    """Rule P40: never over the target, never away from it, and down to exactly 0."""
    for rng in examples:
        denominator = rng.randint(1, 64)
        numerator = rng.randint(0, denominator)
        score, target = (rng.choice((0, SCALE, rng.randint(0, SCALE))) for _ in range(2))
        after = ema(score, target, numerator, denominator)

        assert min(score, target) <= after <= max(score, target)
        assert after == floor(score + (target - score) * Fraction(numerator, denominator))


def test_no_history_of_presence_lifts_a_budget_of_members_to_a_third(
    examples: Iterator[random.Random],
) -> None:
    """Rules P40, P41: whatever happened, and by the definition of absences in words."""
    for rng in examples:
        count = rng.randint(4, 10)
        budget = rng.randint(1, (count - 1) // 3)
        after = []
        for _ in range(count):
            scores = Scores(participation=rng.randint(0, SCALE), proposing=0, quality=0, absences=0)
            history = [rng.random() < 0.5 for _ in range(rng.randint(1, 4))]
            for is_present in history:
                participation, absences = participated(scores, is_present=is_present)
                scores = Scores(
                    participation=participation, proposing=0, quality=0, absences=absences
                )
            assert scores.absences.bit_count() == history.count(False)
            after.append(scores.participation)
        powers = list(voting_powers(after, budget))

        assert 3 * heaviest(powers, budget) < sum(powers)


def test_merkle_roots_and_proofs_are_those_of_the_definition(
    examples: Iterator[random.Random],
) -> None:
    """RFC 6962, section 2.1, by recursion; any other leaf or root is refused."""
    for rng in examples:
        leaves = [rng.randbytes(rng.randint(0, 3)) for _ in range(rng.randint(1, 12))]
        top = recursive_root(leaves)
        growing = EMPTY_RANGE
        for leaf in leaves:
            growing = growing.append(leaf)
        index, first = rng.randrange(len(leaves)), rng.randint(1, len(leaves))
        path = prove_inclusion(leaves, index)
        steps = prove_consistency(leaves, first)
        earlier = recursive_root(leaves[:first])

        assert root(leaves) == growing.root() == top
        assert is_included(leaves[index], index, len(leaves), path, top)
        assert not is_included(leaves[index] + b"x", index, len(leaves), path, top)
        assert is_consistent(first, earlier, len(leaves), top, steps)
        assert first == len(leaves) or not is_consistent(
            first, earlier, len(leaves), root([*leaves, b"x"]), steps
        )


def test_every_record_reads_back_and_every_other_byte_string_differs(
    examples: Iterator[random.Random],
) -> None:
    """Rule P2: one value, one byte string; a changed byte is refused or means something else."""
    for rng in examples:
        hint = rng.choice(RECORDS)
        record = random_value(hint, rng)
        data = encode_as(hint, record)
        place = rng.randrange(len(data))
        changed = data[:place] + bytes([data[place] ^ rng.randint(1, 255)]) + data[place + 1 :]

        assert decode(hint, data) == record
        try:
            other = decode(hint, changed)
        except DecodeError:
            continue
        assert other != record
        assert encode_as(hint, other) == changed
