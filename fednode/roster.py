"""The contract in force, for all parts of a node: committed blocks may change it (rule P81)."""

from ledger.genesis import Contract
from ledger.membership import contract_in_force
from ledger.state import State


class Roster:
    """Who the members are now, and on which terms.

    One object that every part of a node holds and asks each time, so that none of them goes on with
    members or terms of a past height. Work on one height takes `contract` when it begins.

    Args:
        founders: The founders' contract.
        state: The state after the last block in the ledger.
    """

    def __init__(self, founders: Contract, state: State) -> None:
        self._founders = founders
        self.state = state
        self.contract = contract_in_force(founders, state)

    def contract_at(self, state: State) -> Contract:
        """Return the contract in force for the height after `state`."""
        return self.contract if state is self.state else contract_in_force(self._founders, state)

    def follow(self, state: State) -> None:
        """Take over what a committed block has changed."""
        self.state = state
        self.contract = contract_in_force(self._founders, state)
