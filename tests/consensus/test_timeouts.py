"""How long to wait (rules P14, P15, P36)."""

import pytest

from consensus.timeouts import GROWTH_MAX, clock_window_ms, collect_ms, grown_ms
from tests.support.ledger import contract

TIMEOUTS = contract().timeouts


def test_waits_grow_by_half_per_view_up_to_the_cap() -> None:
    """Rule P36."""
    waits = [grown_ms(1_000, view, 6_000) for view in range(7)]

    assert waits == [1_000, 1_500, 2_250, 3_375, 5_063, 6_000, 6_000]
    assert grown_ms(1_000, 2**32 - 1, 6_000) == 6_000
    assert grown_ms(9_000, 0, 6_000) == 9_000


@pytest.mark.parametrize(
    ("empties", "expected"), [(0, 5_000), (1, 10_000), (3, 40_000), (4, 60_000), (10**6, 60_000)]
)
def test_each_empty_block_in_a_row_doubles_the_collect_timeout(empties: int, expected: int) -> None:
    """Rule P15."""
    assert collect_ms(TIMEOUTS, empties) == expected


def test_the_clock_window_grows_with_every_view() -> None:
    """Rule P14."""
    windows = [clock_window_ms(TIMEOUTS, view) for view in range(GROWTH_MAX)]

    assert windows[:3] == [10_000, 15_000, 22_500]
    assert windows == sorted(set(windows))
