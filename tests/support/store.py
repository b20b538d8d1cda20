"""Ledgers on disk that hold a chain made by `tests.support.ledger`."""

from pathlib import Path

from ledger.genesis import Genesis
from ledger.store import Ledger
from tests.support.ledger import Chain, genesis


def genesis_of(chain: Chain) -> Genesis:
    return genesis(chain.contract, chain.keys)


def append(ledger: Ledger, chain: Chain, height: int) -> None:
    """Append a height of the chain."""
    block, certificate = chain.blocks[height - 1], chain.certificates[height - 1]
    ledger.append(block, certificate, chain.states[height])


def filled(folder: Path, chain: Chain) -> Ledger:
    """A ledger of the whole chain."""
    ledger = Ledger.create(folder, genesis_of(chain))
    for height in range(1, len(chain.blocks) + 1):
        append(ledger, chain, height)
    return ledger
