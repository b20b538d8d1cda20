"""How long to wait: local values, never consensus data (rules P11, P14, P36)."""

from typing import Final

from ledger.genesis import Timeouts

GROWTH_MAX: Final = 64
"""Views (or attempts) after which a wait grows no further, whatever its cap."""


def grown_ms(base_ms: int, view: int, cap_ms: int) -> int:
    """Return a wait that grows by 3/2 per view up to a cap (rule P36).

    Args:
        base_ms: The wait of view 0, in milliseconds.
        view: The view, from 0.
        cap_ms: Longest wait, in milliseconds; a longer base stays as it is.

    Examples:
        >>> [grown_ms(1000, view, 5000) for view in range(6)]
        [1000, 1500, 2250, 3375, 5000, 5000]
    """
    return min(_grown(base_ms, view), max(cap_ms, base_ms))


def collect_ms(timeouts: Timeouts, empties_in_row: int) -> int:
    """Return how long a validator collects updates before it signs its HAVE (rules P11, P15)."""
    doubled = timeouts.collect_ms << min(empties_in_row, GROWTH_MAX)
    return min(doubled, max(timeouts.collect_max_ms, timeouts.collect_ms))


def clock_window_ms(timeouts: Timeouts, view: int) -> int:
    """Return how far beyond the own clock the time of a fresh proposal may be (rule P14).

    It grows without a cap, so that no skew of clocks can refuse every proposal for ever.
    """
    return _grown(timeouts.clock_window_ms, view)


def _grown(base_ms: int, view: int) -> int:
    grown = base_ms
    for _ in range(min(view, GROWTH_MAX)):
        grown += (grown + 1) // 2
    return grown
