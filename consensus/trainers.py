"""What is remembered of each trainer beyond a height: when it was heard, whose bodies are here."""

from typing import Final

from consensus.effects import UpdateHeld, UpdateReceived

HEARD_AHEAD_MAX: Final = 4
"""A trainer's header for a height further ahead than this says nothing about when it is ready."""
BODIES_PER_TRAINER: Final = 4
"""Newest bodies remembered per trainer: one unused in an EMPTY block returns under a new header."""


class Trainers:
    """Remembers who is alive and whose bodies are here (rules P10, P11).

    Attributes:
        heard: For each trainer the newest height for which a header of it arrived.
    """

    def __init__(self) -> None:
        self.heard: dict[int, int] = {}
        self._bodies: dict[int, list[bytes]] = {}

    def note(
        self, event: UpdateReceived | UpdateHeld, *, height: int
    ) -> UpdateReceived | UpdateHeld:
        """Take note of a header while `height` is in work.

        Returns:
            The event; as `UpdateHeld` if the body came before, under another header.
        """
        header = event.update.statement
        if header.height <= height + HEARD_AHEAD_MAX:
            known = self.heard.get(header.trainer, 0)
            self.heard[header.trainer] = max(known, header.height)
        bodies = self._bodies.setdefault(header.trainer, [])
        if header.update_id in bodies:
            return UpdateHeld(update=event.update)
        if isinstance(event, UpdateHeld):
            bodies.append(header.update_id)
            del bodies[:-BODIES_PER_TRAINER]
        return event

    def forget_bodies(self) -> None:
        """Forget which bodies are here: the host may prune them from now on."""
        self._bodies.clear()
