"""How long to wait before the next attempt to connect (Rule P92)."""

FIRST_MS = 200
LARGEST_MS = 30_000
_DOUBLINGS_MAX = 20


def backoff_ms(attempt: int, share: float) -> int:
    """Return the wait before attempt number `attempt` in milliseconds.

    The wait doubles from `FIRST_MS` up to `LARGEST_MS`; its second half is drawn at random, so
    that the nodes do not all come back to a restarted broker at the same instant.

    Args:
        attempt: Failed attempts before, at least 0.
        share: Uniform in [0, 1).

    Examples:
        >>> [backoff_ms(attempt, 0.0) for attempt in (0, 1, 2, 20)]
        [100, 200, 400, 15000]
    """
    whole = min(FIRST_MS << min(attempt, _DOUBLINGS_MAX), LARGEST_MS)
    return whole // 2 + int(share * (whole - whole // 2))
