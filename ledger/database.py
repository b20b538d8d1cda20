"""The SQLite file under a ledger: its format, what it refuses, and its errors in one sentence each.

Table `entries` holds genesis, blocks, certificates and states under (kind, number); triggers let it
only grow, in order. Every row of bytes carries their SHA-256, because SQLite notices damage to its
own structure only.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from ledger.errors import StorageError

APPLICATION_ID = 0x6665646E
"""ASCII "fedn", by which SQLite files of this program are known."""
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
STATES_KEPT = 2
"""The state of the tip, and the one before it, from which the tip's block can be checked again."""

SCHEMA = f"""
CREATE TABLE entries (
    kind TEXT NOT NULL, number INTEGER NOT NULL, digest BLOB NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (kind, number));
CREATE TRIGGER entries_in_order BEFORE INSERT ON entries
    WHEN NEW.number != (SELECT coalesce(max(number) + 1, NEW.kind IN ('block', 'certificate'))
                        FROM entries WHERE kind = NEW.kind)
    BEGIN SELECT RAISE(ABORT, 'the ledger grows in order'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
    WHEN OLD.kind != 'state' OR OLD.number > {-STATES_KEPT}
        + (SELECT max(number) FROM entries WHERE kind = 'state')
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TABLE record (
    number INTEGER PRIMARY KEY CHECK (number = 1), digest BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE proposals (
    height INTEGER, view INTEGER, block_id BLOB, proposal BLOB NOT NULL, block BLOB NOT NULL,
    PRIMARY KEY (height, view, block_id));
CREATE TABLE evidence (member INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={SCHEMA_VERSION};
"""  # noqa: S608 (only constants of this file)


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """Open a database file with SQLite's mode "ro", "rw" or "rwc"; durable unless read-only."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
    )
    # Damage can turn bytes into text of no encoding, which must still be readable to be refused.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    if mode != "ro":
        # Without FULL a decided block, or a vote that others saw, may vanish in a power cut.
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;"
        )
    return connection


def insert(connection: sqlite3.Connection, kind: str, number: int, data: bytes) -> None:
    """Add one entry; the triggers refuse one that does not follow the last of its kind."""
    row = (kind, number, sha256(data).digest(), data)
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)


def select(connection: sqlite3.Connection, kind: str, number: int) -> bytes | None:
    """Return the bytes of one entry, None when it is not there.

    Raises:
        StorageError: If they are not the bytes that were written.
    """
    row: tuple[bytes, bytes] | None = connection.execute(
        "SELECT digest, data FROM entries WHERE kind = ? AND number = ?", (kind, number)
    ).fetchone()
    return None if row is None else undamaged(f"{kind} {number}", *row)


def undamaged(name: str, digest: bytes, data: bytes) -> bytes:
    """Return the bytes of a row if they are what was written.

    Raises:
        StorageError: If they changed on the disk.
    """
    if type(data) is not bytes or sha256(data).digest() != digest:
        raise StorageError(damaged(f"{name} changed on the disk"))
    return data


def check_format(connection: sqlite3.Connection) -> None:
    """Refuse a database that is not a ledger of this version.

    Raises:
        StorageError: If it is of another program or release.
    """
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise StorageError("not a ledger: expected a file that fednode created")
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"format {version}, expected {SCHEMA_VERSION}: open it with the release that wrote it"
        )


def check_undamaged(connection: sqlite3.Connection) -> None:
    """Read everything once and refuse damage anywhere, also in the middle.

    Raises:
        StorageError: If the structure, some bytes or the continuity are not as they were written.
    """
    verdict: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StorageError(damaged(verdict.splitlines()[-1]))
    if _definitions(connection) != _own_definitions():
        raise StorageError(damaged("its tables or triggers are not those that fednode made"))
    for kind, number, digest, data in connection.execute("SELECT * FROM entries"):
        undamaged(f"{kind} {number}", digest, data)
    for digest, data in connection.execute("SELECT digest, data FROM record"):
        undamaged("signing record", digest, data)
    heights: set[tuple[int, int]] = set(
        connection.execute(
            "SELECT count(*), max(number) FROM entries WHERE kind = 'block'"
            " UNION ALL SELECT count(*), max(number) FROM entries WHERE kind = 'certificate'"
            " UNION ALL SELECT max(number), max(number) FROM entries WHERE kind = 'state'"
        )
    )
    if len({(count, last or 0) for count, last in heights}) != 1:
        raise StorageError(damaged("blocks, certificates and states end at different heights"))


def _definitions(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    return connection.execute(query).fetchall()


def _own_definitions() -> list[tuple[str, str]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(SCHEMA)
        return _definitions(connection)
    finally:
        connection.close()


def damaged(what: str) -> str:
    """Return the sentence that says what is damaged and what to do."""
    return (
        f"the ledger is damaged: {what}; move the file away and let the node fetch the blocks from"
        " its peers into an empty folder"
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn every failure of disk or database into a StorageError that begins with the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {_sentence(error)}") from None
    except StorageError as error:
        text = str(error)
        raise StorageError(text if str(path) in text else f"{path}: {text}") from None


def _sentence(error: sqlite3.Error) -> str:
    # The low byte is the primary result code; errors of this program's own SQL carry none.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "the disk is full; make room and start again, nothing that was stored is lost"
        case sqlite3.SQLITE_CORRUPT:
            return damaged(str(error))
        case sqlite3.SQLITE_NOTADB:
            return "not a ledger: expected a file that fednode created"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "in use by another process; stop that one first"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return f"{error}; check the permissions of file and folder"
        case _:
            return f"the database failed: {error}"
