"""Voting powers: quorum and blocking tests, the cap by water-filling, validator sets (rule P41).

All tests are integer inequalities over powers, never counts of members: nothing assumes
`n = 3f + 1` or equal powers.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import accumulate
from typing import Annotated

from ledger.encoding import U16, U64, Items, domain_tag, encode
from ledger.kinds import MEMBERS_MAX
from ledger.shapes import check_ascending
from ledger.slots import slotted


def is_quorum(power: int, total: int) -> bool:
    """Return whether `power` is more than two thirds of `total`."""
    return 3 * power > 2 * total


def is_blocking(power: int, total: int) -> bool:
    """Return whether `power` is a third of `total` or more, so that no quorum avoids it."""
    return 3 * power >= total


@slotted
@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One validator of a height and its voting power."""

    member: U16
    power: U64


# Not slotted: the lookups below are computed once per set, which every vote of a height asks.
@dataclass(frozen=True, kw_only=True)
class ValidatorSet:
    """The validators of one height in ascending member order; bitmaps index this order."""

    validators: Annotated[tuple[Validator, ...], Items(MEMBERS_MAX)]

    def __post_init__(self) -> None:
        """Refuse validators that are not strictly ascending by member."""
        check_ascending([each.member for each in self.validators], "validators")

    @cached_property
    def total(self) -> int:
        """The sum of all powers."""
        return sum(each.power for each in self.validators)

    @cached_property
    def members(self) -> tuple[int, ...]:
        """The member numbers, ascending."""
        return tuple(each.member for each in self.validators)

    @cached_property
    def _powers(self) -> dict[int, int]:
        return {each.member: each.power for each in self.validators}

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {member: position for position, member in enumerate(self.members)}

    def power_of(self, member: int) -> int:
        """Return the power of a member, 0 when it is no validator of this height."""
        return self._powers.get(member, 0)

    def position_of(self, member: int) -> int | None:
        """Return the place of a member in bitmaps, None when it is no validator of this height."""
        return self._positions.get(member)

    def has_quorum(self, power: int) -> bool:
        """Return whether `power` is a quorum of this set."""
        return is_quorum(power, self.total)

    def is_blocked_by(self, power: int) -> bool:
        """Return whether `power` is blocking in this set."""
        return is_blocking(power, self.total)


def validators_hash(
    validators: ValidatorSet, public_keys: Sequence[bytes] | Mapping[int, bytes]
) -> bytes:
    """Return the 32-byte hash by which headers name a validator set with its keys (rule P50).

    Args:
        validators: The set of a height.
        public_keys: The keys of that height by member number, at least of all in the set.
    """
    keys = b"".join(public_keys[each] for each in validators.members)
    return sha256(domain_tag("vals/1") + encode(validators) + keys).digest()


def cap_budget(budget: int, count: int) -> int:
    """Return how many of `count` members the cap can hold below a third: at most `budget`."""
    return min(budget, (count - 1) // 3)


def cap(scores: Sequence[int], budget: int) -> tuple[int, ...]:
    """Lower the largest scores so that the `budget` heaviest stay below a third of the total.

    Every score becomes `min(score, c)` with the largest `c` for which
    `3 * (sum of the budget largest) < sum of all`. With a budget of 0 nothing changes.

    Args:
        scores: One positive integer per member.
        budget: Members that together must stay below a third, `0 <= 3 * budget < len(scores)`.

    Returns:
        Capped scores in the order of `scores`, each at least 1.

    Raises:
        ValueError: If a score is below 1 or the budget is too large for so many scores.

    References:
        Rule P41. With sorted scores the slack `sum - 3 * top` is positive at the smallest score
        and rises, then falls as `c` grows: one sign change, so bisection is exact.
    """
    if not 0 <= 3 * budget < len(scores):
        raise ValueError(f"expected 0 <= 3 * budget < {len(scores)} scores, got budget {budget}")
    if min(scores) < 1:
        raise ValueError(f"expected positive scores, got {min(scores)}")
    return _cap(tuple(scores), budget)


@lru_cache(maxsize=4096)
def _cap(scores: tuple[int, ...], budget: int) -> tuple[int, ...]:
    ascending = sorted(scores)
    below = (0, *accumulate(ascending))
    low, high = ascending[0], ascending[-1]
    while low < high:
        middle = (low + high + 1) // 2
        if _has_slack(ascending, below, budget, middle):
            low = middle
        else:
            high = middle - 1
    return tuple(min(score, low) for score in scores)


def _has_slack(ascending: Sequence[int], below: Sequence[int], budget: int, ceiling: int) -> bool:
    """Whether `3 * top < total` after capping at `ceiling`; `below[i]` sums the `i` smallest."""
    count = len(ascending)
    first = bisect_left(ascending, ceiling)
    total = below[first] + ceiling * (count - first)
    split = max(first, count - budget)
    top = below[split] - below[count - budget] if split > count - budget else 0
    return 3 * (top + ceiling * (count - split)) < total
