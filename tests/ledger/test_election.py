"""Proposers: drawn without replacement from what nobody can steer (rule P44)."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ledger.election import draw_order, election_weights, proposer_of, schedule
from ledger.encoding import domain_tag
from ledger.powers import is_blocking
from ledger.reputation import SCALE, Scores
from ledger.state import initial_state
from tests.support.ledger import contract, digest, stub_chain

CHAIN = digest("chain")


def slow_order(chain_id: bytes, height: int, members: list[int], weights: list[int]) -> list[int]:
    """Rule P44 word for word: one ticket per unit of weight."""
    beacon = sha256(domain_tag("draw/1") + chain_id + height.to_bytes(8, "big")).digest()
    tickets = [member for member, w in zip(members, weights, strict=True) for _ in range(w)]
    order = []
    for k in range(len(members)):
        drawn = int.from_bytes(sha256(beacon + k.to_bytes(4, "big")).digest(), "big")
        order.append(tickets[(drawn * len(tickets)) >> 256])
        tickets = [ticket for ticket in tickets if ticket != order[-1]]
    return order


@given(st.integers(0, 2**40), st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_order_equals_a_draw_of_tickets(height: int, weights: list[int]) -> None:
    members = [3 * i for i in range(len(weights))]

    order = draw_order(CHAIN, height, tuple(members), tuple(weights))

    assert list(order) == slow_order(CHAIN, height, members, weights)
    assert sorted(order) == members


def test_first_proposers_follow_the_weights() -> None:
    weights = (1, 2, 3, 4)

    first = Counter(draw_order(CHAIN, h, (0, 1, 2, 3), weights)[0] for h in range(4000))

    assert [abs(first[i] - 400 * weights[i]) < 120 for i in range(4)] == [True] * 4


def test_another_chain_or_height_draws_anew() -> None:
    members, weights = tuple(range(40)), (1,) * 40

    order = draw_order(CHAIN, 1, members, weights)

    assert order != draw_order(CHAIN, 2, members, weights)
    assert order != draw_order(digest("other"), 1, members, weights)


def test_views_go_through_the_whole_schedule_and_start_again() -> None:
    terms = contract(5)
    state = initial_state(terms)
    order = schedule(terms, state)

    proposers = [proposer_of(terms, state, view) for view in range(12)]

    assert proposers == [*order, *order, *order[:2]]
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_no_field_that_a_proposer_chooses_moves_the_schedule() -> None:
    """Rule P44: with the time in the draw one of four members led 85 % of heights."""
    made = stub_chain(3)
    chosen = {
        "tip_id": digest("other block"),
        "time_ms": made.state.time_ms + 1,
        "model_id": digest("other model"),
        "created_view": 3,
    }

    for field, value in chosen.items():
        other = replace(made.state, **{field: value})  # type: ignore[arg-type]  # by name
        assert schedule(made.contract, other) == schedule(made.contract, made.state)


def score(participation: int, proposing: int) -> Scores:
    return Scores(participation=participation, proposing=proposing, quality=0, absences=0)


def test_election_weight_is_participation_times_proposing_capped_as_powers_are() -> None:
    scores = [score(10, 4), score(10, 5), score(10, 6), score(SCALE, SCALE), score(0, SCALE)]

    weights = election_weights(scores, 1)

    # 40 + 50 + 60 + 1 + c > 3c, so c is at most 75.
    assert weights == (40, 50, 60, 75, 1)
    assert not is_blocking(max(weights), sum(weights))
    assert election_weights(scores, 0) == (1,) * 5
