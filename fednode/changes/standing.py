"""Where a member stands, in a word or two."""

from ledger.membership import Standing
from ledger.state import State


def standing_text(state: State, number: int) -> str:
    """Return where a member number stands after a state."""
    record = state.membership.members[number]
    if number in state.banned:
        return "banned"
    if record.standing is Standing.PENDING:
        return f"pending until {record.expiry}"
    return record.standing.name.lower()
