"""Counts of dropped messages by reason, for the log and the dashboard (Rule P93)."""

REASONS_MAX = 64


class Counters:
    """How often each reason occurred; beyond `REASONS_MAX` reasons all count as "other"."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, reason: str, number: int = 1) -> None:
        """Count `number` more occurrences of a reason (a short fixed word, not a peer's text)."""
        if reason not in self._counts and len(self._counts) >= REASONS_MAX - 1:
            reason = "other"
        self._counts[reason] = self._counts.get(reason, 0) + number

    def of(self, reason: str) -> int:
        """Return how often a reason was counted."""
        return self._counts.get(reason, 0)

    def all(self) -> tuple[tuple[str, int], ...]:
        """Return (reason, count), sorted by reason."""
        return tuple(sorted(self._counts.items()))
