"""Waits that adapt to latencies (rule P36)."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from consensus.effects import TimerKind
from consensus.pace import FLOOR_PARTS, MARGIN, Pace, adapted_ms, remembered_ms
from consensus.timeouts import grown_ms
from ledger.genesis import Timeouts
from ledger.powers import Validator, ValidatorSet
from tests.support.ledger import contract

TIMEOUTS: Timeouts = contract().timeouts
AGREED, CAP = TIMEOUTS.propose_ms, TIMEOUTS.view_max_ms
VALIDATORS = ValidatorSet(validators=tuple(Validator(member=each, power=1) for each in range(4)))
PROPOSE, PREPARE = TimerKind.PROPOSE, TimerKind.PREPARE

latencies = st.integers(min_value=0, max_value=2 * CAP)
Event = tuple[int, int, bool]
events = st.lists(st.tuples(st.integers(0, 3), latencies, st.booleans()), max_size=40)


def paced(*latencies_ms: int, of: Sequence[int] = (0,)) -> Pace:
    """What is remembered when proposals of some members took so long, each in its turn."""
    pace = Pace(TIMEOUTS, VALIDATORS)
    for latency_ms in latencies_ms:
        for proposer in of:
            pace.begin(PROPOSE, 0, 1_000)
            pace.came(PROPOSE, 0, proposer, 1_000 + latency_ms)
    return pace


def after(happened: Sequence[Event]) -> Pace:
    """What is remembered after proposals that came, or whose waits ran out."""
    pace = Pace(TIMEOUTS, VALIDATORS)
    for proposer, latency_ms, has_come in happened:
        pace.begin(PROPOSE, 0, 0)
        end = pace.came if has_come else pace.ran_out
        end(PROPOSE, 0, proposer, latency_ms)
    return pace


def remembered(latencies_ms: Sequence[int]) -> int:
    peak_ms = latencies_ms[0]
    for latency_ms in latencies_ms[1:]:
        peak_ms = remembered_ms(peak_ms, latency_ms)
    return peak_ms


@given(st.lists(latencies, min_size=1))
def test_what_is_remembered_is_an_integer_between_the_shortest_and_the_last_peak(
    latencies_ms: list[int],
) -> None:
    peak_ms = remembered(latencies_ms)

    assert type(peak_ms) is int
    assert max(min(latencies_ms), latencies_ms[-1]) <= peak_ms <= max(latencies_ms)


@given(st.lists(st.tuples(latencies, latencies), min_size=1))
def test_what_is_remembered_grows_with_every_latency(pairs: list[tuple[int, int]]) -> None:
    less = remembered([min(pair) for pair in pairs])
    more = remembered([max(pair) for pair in pairs])

    assert less <= more


def test_a_peak_is_forgotten_when_it_does_not_come_again() -> None:
    assert remembered([10_000, *[7] * 40]) == 7


@given(latencies, latencies, latencies, latencies)
def test_an_adapted_wait_grows_with_latencies_and_keeps_its_bounds(
    peak_ms: int, more_ms: int, common_ms: int, more_common_ms: int
) -> None:
    less = adapted_ms(AGREED, peak_ms=peak_ms, common_ms=common_ms, cap_ms=CAP)
    more = adapted_ms(
        AGREED, peak_ms=peak_ms + more_ms, common_ms=common_ms + more_common_ms, cap_ms=CAP
    )

    assert -(-AGREED // FLOOR_PARTS) <= less <= more <= CAP


@given(events, st.integers(0, 5), st.integers(0, 30))
def test_no_wait_leaves_its_bounds_whatever_happened(
    happened: list[Event], proposer: int, view: int
) -> None:
    pace = after(happened)

    wait_ms = pace.wait_ms(PROPOSE, view, proposer)

    assert type(wait_ms) is int
    assert wait_ms <= CAP
    if view == 0:
        assert wait_ms >= -(-AGREED // FLOOR_PARTS)
    else:
        assert wait_ms >= grown_ms(AGREED, view, CAP)


@given(st.lists(st.tuples(st.integers(1, 3), latencies, st.booleans()), max_size=40), events)
def test_one_liar_of_four_lifts_no_wait_beyond_what_an_honest_member_took(
    lies: list[Event], happened: list[Event]
) -> None:
    """Members 1 to 3 are honest, and whatever the liar 0 does stands between what they do."""
    honest = [each for each in lies if each[2]]
    mixed = honest + [(0, latency_ms, has_come) for _, latency_ms, has_come in happened]
    pace = after(mixed)

    slowest_ms = max((latency_ms for _, latency_ms, _ in honest), default=0)
    for proposer in range(4):
        assert pace.wait_ms(PROPOSE, 0, proposer) <= max(AGREED, MARGIN * slowest_ms)


@given(events)
def test_one_member_does_not_shorten_the_wait_for_another(happened: list[Event]) -> None:
    slow = [(1, AGREED // MARGIN, True)]

    pace = after([*slow, *((0, latency_ms, come) for _, latency_ms, come in happened)])

    assert pace.wait_ms(PROPOSE, 0, 1) == AGREED


@given(st.lists(st.tuples(st.integers(0, 3), latencies), max_size=40))
def test_waits_that_run_out_lift_none_beyond_the_contract(silent: list[tuple[int, int]]) -> None:
    pace = after([(proposer, latency_ms, False) for proposer, latency_ms in silent])

    assert all(pace.wait_ms(PROPOSE, 0, proposer) <= AGREED for proposer in range(4))


def test_without_an_observation_waits_are_those_of_the_contract() -> None:
    pace = Pace(TIMEOUTS, VALIDATORS)

    assert pace.wait_ms(PROPOSE, 0, 2) == TIMEOUTS.propose_ms
    assert pace.wait_ms(PREPARE, 0, 2) == TIMEOUTS.prepare_ms
    assert pace.wait_ms(TimerKind.COMMIT, 0, 2) == TIMEOUTS.commit_ms


def test_a_quick_proposer_is_waited_for_less_in_view_0_alone() -> None:
    pace = paced(10)

    assert pace.wait_ms(PROPOSE, 0, 0) == AGREED // FLOOR_PARTS
    assert pace.wait_ms(PROPOSE, 1, 0) == grown_ms(AGREED, 1, CAP)
    assert pace.wait_ms(PROPOSE, 0, 1) == AGREED
    assert pace.wait_ms(PREPARE, 0, 0) == TIMEOUTS.prepare_ms


def test_one_slow_proposer_gets_what_the_contract_says() -> None:
    assert paced(2 * AGREED).wait_ms(PROPOSE, 0, 0) == AGREED


def test_where_a_blocking_power_is_slow_waits_are_longer_up_to_the_cap() -> None:
    slow, slower = paced(2 * AGREED, of=(0, 1)), paced(CAP + 1, of=(0, 1))

    assert slow.wait_ms(PROPOSE, 0, 0) == MARGIN * 2 * AGREED
    assert slow.wait_ms(PROPOSE, 1, 0) == grown_ms(MARGIN * 2 * AGREED, 1, CAP)
    assert slower.wait_ms(PROPOSE, 0, 0) == CAP


def test_each_wait_that_runs_out_doubles_the_next_one_up_to_that_of_the_contract() -> None:
    pace = paced(10)
    waits = []

    for _ in range(4):
        waits.append(pace.wait_ms(PROPOSE, 0, 0))
        pace.begin(PROPOSE, 0, 0)
        pace.ran_out(PROPOSE, 0, 0, waits[-1])

    assert waits == [AGREED // 4, AGREED // 2, AGREED, AGREED]


def test_what_began_in_another_view_or_height_is_not_measured() -> None:
    pace = Pace(TIMEOUTS, VALIDATORS)

    pace.begin(PROPOSE, 0, 0)
    pace.came(PROPOSE, 1, 0, 10)
    pace.begin(PROPOSE, 0, 0)
    pace.begin_height(TIMEOUTS, VALIDATORS)
    pace.came(PROPOSE, 0, 0, 10)

    assert pace.wait_ms(PROPOSE, 0, 0) == AGREED


def test_a_clock_that_is_set_back_gives_no_negative_latency() -> None:
    pace = paced(1_000)

    pace.begin(PROPOSE, 0, 10_000)
    pace.came(PROPOSE, 0, 0, 0)

    assert pace.wait_ms(PROPOSE, 0, 0) == MARGIN * 750
