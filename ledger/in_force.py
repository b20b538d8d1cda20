"""The contract in force: what the founders agreed on, as the blocks since then have changed it."""

from ledger.genesis import Contract
from ledger.state import State


def contract_in_force(contract: Contract, state: State) -> Contract:
    """Return the contract that holds for the height after `state` (rule P81).

    Args:
        contract: The founders' contract.
        state: The state after the last block.
    """
    assert len(state.scores) == len(contract.members), "state of another contract"
    return contract
