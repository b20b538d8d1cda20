"""A few inputs of the next height, kept until it begins (bounded: rule P37)."""

from collections.abc import Callable
from typing import Final

from consensus.effects import UpdateHeld
from consensus.peer_inputs import PeerInput, height_of, statements_of
from consensus.signer import SlotStatement
from ledger.keys import Signed

NEXT_HEIGHT_INPUTS_PER_MEMBER: Final = 8
"""Inputs of the next height kept per member: what is lost is said again (rule P35)."""
HELD_PER_TRAINER: Final = 2
"""Bodies of later heights remembered per trainer: the host says only once that it has one."""
NOBODY: Final = -1
"""Under whom inputs are kept whose sender is not known."""


class Later:
    """Keeps inputs that came before their height began."""

    def __init__(self) -> None:
        self._inputs: dict[int, list[PeerInput]] = {}
        self._held: dict[int, list[UpdateHeld]] = {}

    def keep(self, event: PeerInput, member: int, *, is_next: bool) -> None:
        """Keep an input of a later height if there is room for it."""
        if isinstance(event, UpdateHeld):
            held = self._held.setdefault(member, [])
            held.append(event)
            held.sort(key=lambda each: each.update.statement.height)
            del held[:-HELD_PER_TRAINER]
        elif is_next:
            inputs = self._inputs.setdefault(member, [])
            said = statements_of(event)
            is_new = all(statements_of(each) != said for each in inputs)
            if is_new and len(inputs) < NEXT_HEIGHT_INPUTS_PER_MEMBER:
                inputs.append(event)

    def take(
        self, height: int, is_signed: Callable[[Signed[SlotStatement]], bool]
    ) -> tuple[PeerInput, ...]:
        """Return what was kept for `height`, which begins, and forget what is older.

        The block before may have replaced the key under which an input was checked (rule P81), and
        a vote that others cannot verify would lock this node where nobody can follow.

        Args:
            height: The height in work from now on.
            is_signed: Whether a statement is signed with its signer's key of that height.
        """
        inputs = [each for member in sorted(self._inputs) for each in self._inputs[member]]
        self._inputs.clear()
        now: list[PeerInput] = []
        for member, held in sorted(self._held.items()):
            now += [each for each in held if each.update.statement.height == height]
            self._held[member] = [each for each in held if each.update.statement.height > height]
        now += [each for each in inputs if height_of(each) == height]
        return tuple(each for each in now if all(map(is_signed, statements_of(each))))

    def size(self) -> int:
        """Return how many inputs are kept."""
        return sum(map(len, self._inputs.values())) + sum(map(len, self._held.values()))
