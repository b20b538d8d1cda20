"""Signs what a node says apart from consensus, with whichever key is in force (rules P60, P81)."""

from consensus.signer import RequestT
from fednode.roster import Roster
from ledger import keys
from ledger.keys import Key, Signed
from ledger.records import HaveList, Proposal, UpdateHeader, Vote


class Requester:
    """The own member's keys for requests and statements that are no slots.

    Args:
        member: The own number.
        own_keys: The member's keys; the first one signs until the chain knows another one of them.
        roster: Knows which key is in force.
    """

    def __init__(self, member: int, own_keys: tuple[Key, ...], roster: Roster) -> None:
        self.member = member
        self._keys = {each.public_key: each for each in own_keys}
        self._first = own_keys[0]
        self._roster = roster

    def add_key(self, key: Key) -> None:
        """Take another key of the member, to sign with once it is in force."""
        self._keys[key.public_key] = key

    def sign_request(self, statement: RequestT) -> Signed[RequestT]:
        """Sign a request; nothing is promised by it."""
        assert not isinstance(statement, UpdateHeader | HaveList | Proposal | Vote), "slots"
        state = self._roster.state
        in_force = state.membership.public_keys
        known = in_force[self.member] if self.member < len(in_force) else b""
        key = self._keys.get(known, self._first)
        return keys.sign(statement, key, signer=self.member, chain_id=state.chain_id)
