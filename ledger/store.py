"""The ledger on disk: blocks, certificates, states, and what the signer must not forget (P53, P60).

SQLite in WAL mode with synchronous=FULL: what `append`, `save_record` or `save_proposal` returned
for survives a power cut, and a crash between leaves the ledger as it was before.

A `Ledger` may be used from any thread, by one at a time. Other processes and threads read along
through their own `Ledger.open(folder, read_only=True)`, also while a node appends.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from ledger import database
from ledger.database import STATES_KEPT, storage_errors
from ledger.encoding import decode, encode, encode_as
from ledger.errors import DecodeError, StorageError
from ledger.genesis import Contract, Genesis, chain_id
from ledger.keys import Signed
from ledger.records import Block, Evidence, Proposal, QuorumCertificate, SignedProposal, block_id
from ledger.state import State, initial_state

DATABASE_NAME = "ledger.db"
COUNTERS_PER_RUN = 2**32
"""More than one run of a node counts."""
RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceNote:
    """Evidence by itself, as the ledger stores it while it waits for a block."""

    evidence: Evidence


DECODABLE: Final[tuple[object, ...]] = (EvidenceNote,)


class Ledger:
    """A folder's ledger; made by `create` or `open`.

    Every method raises `StorageError` when the disk or the database fails. After a failed write
    every later write fails too: what reached the disk is then unknown (rule P60).
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._write_failed = False
        self.genesis: Genesis = self._load("genesis", 0, Genesis)
        self.contract: Contract = self.genesis.contract
        self.chain_id: bytes = chain_id(self.contract)

    @classmethod
    def create(cls, folder: Path, genesis: Genesis) -> Self:
        """Make the ledger of a new chain in a folder and open it.

        The file appears whole or not at all. The genesis is not checked here
        (`ledger.genesis_rules.check_genesis`).

        Raises:
            StorageError: If the folder has a ledger already, or the disk fails.
        """
        path = folder / DATABASE_NAME
        temporary = folder / f"{DATABASE_NAME}.new"
        remains = sorted(folder.glob(f"{DATABASE_NAME}*")) if folder.is_dir() else []
        if any(temporary.name not in each.name for each in remains):
            raise StorageError(f"{remains[0]} exists: expected a folder without a ledger")
        with storage_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            for each in remains:
                each.unlink()
            connection = database.connect(temporary, mode="rwc")
            try:
                connection.executescript("BEGIN;" + database.SCHEMA)
                database.insert(connection, "genesis", 0, encode(genesis))
                database.insert(connection, "state", 0, encode(initial_state(genesis.contract)))
                connection.execute("COMMIT")
            finally:
                connection.close()
            temporary.rename(path)
            database.sync_folder(folder)
        return cls.open(folder, genesis=genesis)

    @classmethod
    def open(cls, folder: Path, *, genesis: Genesis | None = None, read_only: bool = False) -> Self:
        """Open the ledger in a folder; unless read-only, look for damage in all of it first.

        Args:
            folder: Where `create` made it.
            genesis: If given, the ledger must be of this chain.
            read_only: For inspectors; nothing is ever written, also not by repair.

        Raises:
            StorageError: If there is no ledger, it is damaged, or of another chain or version.
        """
        path = folder / DATABASE_NAME
        if not path.is_file():
            raise StorageError(f"no ledger in {folder}: expected the file {DATABASE_NAME}")
        with storage_errors(path):
            connection = database.connect(path, mode="ro" if read_only else "rw")
            try:
                database.check_format(connection)
                if not read_only:
                    database.check_undamaged(connection)
                ledger = cls(connection, path)
                ledger._check_chain(genesis)
            except BaseException:
                connection.close()
                raise
        return ledger

    def _check_chain(self, genesis: Genesis | None) -> None:
        if genesis is not None and chain_id(genesis.contract) != self.chain_id:
            expected = chain_id(genesis.contract).hex()
            raise StorageError(
                f"the ledger of chain {self.chain_id.hex()}, expected {expected};"
                " name the folder and the genesis of the same chain"
            )

    def close(self) -> None:
        """Close the database; doing so twice does nothing more."""
        with storage_errors(self._path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- Blocks ---------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Height of the last block; 0 before the first."""
        with storage_errors(self._path):
            row: tuple[int | None] = self._connection.execute(
                "SELECT max(number) FROM entries WHERE kind = 'block'"
            ).fetchone()
        return row[0] or 0

    @property
    def state(self) -> State:
        """The state after the last block."""
        return self.state_at(self.head)

    def state_at(self, height: int) -> State:
        """Return the state after a height, one of the last `STATES_KEPT`."""
        return self._load("state", height, State)

    def block_at(self, height: int) -> Block:
        """Return the block of a height from 1 to `head`."""
        return self._load("block", height, Block)

    def blocks(self, first: int, last: int) -> Iterator[Block]:
        """Yield the blocks of the heights `first` to `last`, both included, one at a time."""
        return (self.block_at(height) for height in range(first, last + 1))

    def certificate_at(self, height: int) -> QuorumCertificate:
        """Return a COMMIT certificate of a height from 1 to `head`.

        The canonical one from the next block where there is one (rule P51), so that all nodes
        export the same bytes; for the tip, the one by which this node decided.
        """
        if height < self.head:
            return self.block_at(height + 1).last_certificate[0]
        return self._load("certificate", height, QuorumCertificate)

    def encoded_block(self, height: int) -> bytes:
        """Return the block of a height as it was encoded: to pass it on, nobody need read it."""
        return self._load_bytes("block", height)

    def encoded_certificate(self, height: int) -> bytes:
        """Return, encoded, the COMMIT certificate by which this node decided a height."""
        return self._load_bytes("certificate", height)

    def append(self, block: Block, certificate: QuorumCertificate, state: State) -> None:
        """Append a decided block, its certificate and the state after it, durably or not at all.

        Stored proposals of this height and below are dropped: the block is in the ledger now.

        Raises:
            RuntimeError: If the block is not the next one, or the others belong to another block.
            StorageError: If the disk is full or fails.
        """
        height, own_id = block.header.height, block_id(block.header)
        if (certificate.height, certificate.block_id) != (height, own_id):
            raise RuntimeError(f"height={height}: the certificate is of another block")
        if (state.height, state.tip_id) != (height, own_id):
            raise RuntimeError(f"height={height}: the state is that after another block")
        with self._transaction() as connection:
            self._check_follows(block)
            database.insert(connection, "block", height, encode(block))
            database.insert(connection, "certificate", height, encode(certificate))
            database.insert(connection, "state", height, encode(state))
            connection.execute(
                "DELETE FROM entries WHERE kind = 'state' AND number <= ?", (height - STATES_KEPT,)
            )
            connection.execute("DELETE FROM proposals WHERE height <= ?", (height,))

    def _check_follows(self, block: Block) -> None:
        head = self.head
        parent_id = self.state_at(head).tip_id
        if block.header.height != head + 1:
            raise RuntimeError(
                f"expected the block of height {head + 1}, got {block.header.height}"
            )
        if block.header.parent_id != parent_id:
            raise RuntimeError(f"height={head + 1}: the parent is not this ledger's tip")

    # --- The signer's memory --------------------------------------------------------------------

    def save_record(self, record: bytes) -> None:
        """Replace the signer's record durably (rule P60)."""
        with self._transaction() as connection:
            row = (sha256(record).digest(), record)
            connection.execute("INSERT OR REPLACE INTO record VALUES (1, ?, ?)", row)

    def load_record(self) -> bytes | None:
        """Return the signer's record, None when nothing was ever signed here."""
        with storage_errors(self._path):
            row: tuple[bytes, bytes] | None = self._connection.execute(
                "SELECT digest, data FROM record"
            ).fetchone()
            return None if row is None else database.undamaged("signing record", *row)

    def save_proposal(self, proposal: SignedProposal, block: Block) -> None:
        """Store a block and the signed proposal it came by, durably (rule P60)."""
        statement = proposal.statement
        key = (statement.height, statement.view, statement.block_id)
        row = (*key, encode_as(SignedProposal, proposal), encode(block))
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO proposals VALUES (?, ?, ?, ?, ?)", row)

    def load_proposals(self, height: int) -> tuple[tuple[Signed[Proposal], Block], ...]:
        """Return what `save_proposal` stored for a height that is not decided, by view."""
        with storage_errors(self._path):
            rows: list[tuple[bytes, bytes]] = self._connection.execute(
                "SELECT proposal, block FROM proposals WHERE height = ? ORDER BY view, block_id",
                (height,),
            ).fetchall()
        return tuple(
            (self._decode(SignedProposal, signed), self._decode(Block, block))
            for signed, block in rows
        )

    def first_counter(self, name: str, clock_ms: int) -> int:
        """Return where counters of one name begin in this run, above all of earlier runs; durably.

        The clock, which also goes on when the folder is lost, unless it was set back: then
        `COUNTERS_PER_RUN` beyond where the last run began.
        """
        with self._transaction() as connection:
            row: tuple[int] = connection.execute(
                "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE"
                " SET value = CASE WHEN ?2 > value THEN ?2 ELSE value + ?3 END RETURNING value",
                (name, clock_ms, COUNTERS_PER_RUN),
            ).fetchone()
        return row[0]

    # --- Evidence -------------------------------------------------------------------------------

    def save_evidence(self, member: int, evidence: Evidence) -> None:
        """Store evidence against a member until a block carries it; the newest replaces others."""
        row = (member, encode(EvidenceNote(evidence=evidence)))
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO evidence VALUES (?, ?)", row)

    def load_evidence(self) -> tuple[Evidence, ...]:
        """Return what `save_evidence` stored, by member; also what a block carries by now."""
        with storage_errors(self._path):
            rows: list[tuple[bytes]] = self._connection.execute(
                "SELECT data FROM evidence ORDER BY member"
            ).fetchall()
        return tuple(self._decode(EvidenceNote, data).evidence for (data,) in rows)

    # --- Rows -----------------------------------------------------------------------------------

    def _load(self, kind: str, number: int, record_class: type[RecordT]) -> RecordT:
        with storage_errors(self._path):
            return self._decode(record_class, self._load_bytes(kind, number))

    def _load_bytes(self, kind: str, number: int) -> bytes:
        with storage_errors(self._path):
            data = database.select(self._connection, kind, number)
            if data is None:
                raise StorageError(f"expected {kind} {number}, but the ledger does not hold it")
            return data

    def _decode(self, record_class: type[RecordT], data: bytes) -> RecordT:
        try:
            return decode(record_class, data)
        except DecodeError as error:
            raise StorageError(f"{self._path}: {database.damaged(str(error))}") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._write_failed:
            raise StorageError(f"{self._path}: an earlier write failed; restart this process")
        connection = self._connection
        with storage_errors(self._path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                self._write_failed = isinstance(error, sqlite3.Error)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
