"""Who may build the block of a view (rule P44): drawn from state that no proposer can steer.

The election is part of the ledger because the scores of skipped proposers (rule P40) and the audit
need it; see docs/adr/0007-election-lives-in-the-ledger.md.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING

from ledger.encoding import domain_tag
from ledger.genesis import Contract
from ledger.reputation import Scores, capped_or_equal

if TYPE_CHECKING:
    from ledger.state import State


def proposer_of(contract: Contract, state: "State", view: int) -> int:
    """Return the member that may build the block of `view` at the height after `state`."""
    order = schedule(contract, state)
    return order[view % len(order)]


def schedule(contract: Contract, state: "State") -> tuple[int, ...]:
    """Return all validators of the height after `state` in the order in which they propose."""
    members = state.validators.members
    weights = election_weights([state.scores[each] for each in members], contract.byzantine_budget)
    return draw_order(state.chain_id, state.height + 1, members, weights)


def election_weights(scores: Sequence[Scores], byzantine_budget: int) -> tuple[int, ...]:
    """Return participation times proposing, at least 1, capped as powers are (rule P41)."""
    raw = [max(1, each.participation * each.proposing) for each in scores]
    return capped_or_equal(raw, byzantine_budget)


@lru_cache(maxsize=1024)
def draw_order(
    chain_id: bytes, height: int, members: tuple[int, ...], weights: tuple[int, ...]
) -> tuple[int, ...]:
    """Return `members` drawn one after another, without replacement, in proportion to `weights`.

    The only randomness is a hash of chain and height. A field that some proposer chooses would let
    it try values until the draw favours it.

    Args:
        chain_id: The chain.
        height: The height whose proposers are drawn.
        members: Member numbers, ascending.
        weights: One positive integer per member.
    """
    beacon = sha256(domain_tag("draw/1") + chain_id + height.to_bytes(8, "big")).digest()
    left, left_weights = list(members), list(weights)
    order = []
    for k in range(len(members)):
        drawn = int.from_bytes(sha256(beacon + k.to_bytes(4, "big")).digest(), "big")
        below = list(accumulate(left_weights))
        pick = (drawn * below[-1]) >> 256
        index = bisect_right(below, pick)
        order.append(left.pop(index))
        del left_weights[index]
    return tuple(order)
