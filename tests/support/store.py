"""Ledgers on disk that hold a chain made by `tests.support.ledger`."""

import sqlite3
from pathlib import Path

from ledger.genesis import Genesis
from ledger.store import DATABASE_NAME, Ledger
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


def change_behind_the_triggers(folder: Path, statement: str) -> None:
    """Change a ledger as only a fault of the disk could."""
    connection = sqlite3.connect(folder / DATABASE_NAME)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    definitions = triggers.fetchall()
    for name, _ in definitions:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    for _, definition in definitions:
        connection.execute(definition)
    connection.commit()
    connection.close()
