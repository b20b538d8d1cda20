"""What the store refuses: foreign, damaged and full disks are reported and lose nothing (P53)."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.database import storage_errors
from ledger.errors import StorageError
from ledger.store import DATABASE_NAME, Ledger
from tests.support.ledger import stub_chain
from tests.support.store import append, change_behind_the_triggers, filled, genesis_of


def test_a_folder_has_one_ledger(tmp_path: Path) -> None:
    chain = stub_chain(1)
    filled(tmp_path, chain).close()

    with pytest.raises(StorageError, match="exists: expected a folder without a ledger"):
        Ledger.create(tmp_path, genesis_of(chain))


def test_the_remains_of_an_interrupted_creation_do_not_hinder(tmp_path: Path) -> None:
    (tmp_path / f"{DATABASE_NAME}.new").write_bytes(b"half a database")
    (tmp_path / f"{DATABASE_NAME}.new-wal").write_bytes(b"half a journal")

    Ledger.create(tmp_path, genesis_of(stub_chain(0))).close()

    assert [path.name for path in tmp_path.iterdir()] == [DATABASE_NAME]


def test_a_journal_without_its_ledger_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / f"{DATABASE_NAME}-wal").write_bytes(b"decided blocks")

    with pytest.raises(StorageError, match=r"ledger\.db-wal exists: expected a folder without"):
        Ledger.create(tmp_path, genesis_of(stub_chain(0)))


def test_a_ledger_of_another_chain_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, stub_chain(1)).close()
    other = genesis_of(stub_chain(0, n=7))

    with pytest.raises(StorageError, match=r"the ledger of chain .*, expected .* same chain"):
        Ledger.open(tmp_path, genesis=other)


def test_a_folder_without_a_ledger_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no ledger in .*: expected the file ledger\.db"):
        Ledger.open(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to have a header" * 20])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(content)

    for read_only in (True, False):
        with pytest.raises(StorageError, match="not a ledger: expected a file that fednode"):
            Ledger.open(tmp_path, read_only=read_only)


def test_a_ledger_of_another_format_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, stub_chain(1)).close()
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(StorageError, match="format 99, expected 1: open it with the release"):
        Ledger.open(tmp_path)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("UPDATE entries SET data = CAST(data || x'00' AS BLOB) WHERE rowid = 5", "state 1"),
        ("UPDATE entries SET data = CAST(data AS TEXT) WHERE rowid = 3", "block 1"),
        ("UPDATE entries SET digest = x'00' WHERE rowid = 1", "genesis 0"),
        ("UPDATE record SET data = x'00'", "signing record"),
    ],
)
def test_bytes_that_changed_on_the_disk_are_found_when_the_node_starts(
    tmp_path: Path, statement: str, name: str
) -> None:
    with filled(tmp_path, stub_chain(2)) as ledger:
        ledger.save_record(b"what was signed")
    change_behind_the_triggers(tmp_path, statement)

    with pytest.raises(StorageError, match=f"damaged: {name} changed on the disk"):
        Ledger.open(tmp_path)


@pytest.mark.parametrize(
    "table", ["entries", "sqlite_autoindex_entries_1", "proposals", "counters"]
)
def test_damage_to_the_structure_is_found_when_the_node_starts(tmp_path: Path, table: str) -> None:
    filled(tmp_path, stub_chain(3)).close()
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    query = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master"
    page, size = connection.execute(f"{query} WHERE name = ?", (table,)).fetchone()
    connection.close()
    data = bytearray((tmp_path / DATABASE_NAME).read_bytes())
    data[(page - 1) * size + 3] ^= 0xFF
    (tmp_path / DATABASE_NAME).write_bytes(data)

    with pytest.raises(StorageError, match=r"the ledger is damaged: .* move the file away"):
        Ledger.open(tmp_path)


def test_a_ledger_whose_triggers_are_gone_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, stub_chain(1)).close()
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    connection.execute("DROP TRIGGER entries_stay")
    connection.close()

    with pytest.raises(StorageError, match="its tables or triggers are not those that fednode"):
        Ledger.open(tmp_path)


def test_an_index_that_disagrees_with_its_table_is_found_when_the_node_starts(
    tmp_path: Path,
) -> None:
    """The kind of an entry stands in the table, in its index, and in the triggers; flip each."""
    filled(tmp_path, stub_chain(2)).close()
    whole = (tmp_path / DATABASE_NAME).read_bytes()
    places = [each.start() for each in re.finditer(b"certificate[^s]", whole)]

    for place in places:
        flipped = whole[:place] + b"b" + whole[place + 1 :]
        (tmp_path / DATABASE_NAME).write_bytes(flipped)
        with pytest.raises(StorageError, match="the ledger is damaged"):
            Ledger.open(tmp_path)

    assert len(places) >= 4


def test_a_missing_block_is_found_when_the_node_starts(tmp_path: Path) -> None:
    filled(tmp_path, stub_chain(3)).close()
    change_behind_the_triggers(tmp_path, "DELETE FROM entries WHERE kind = 'block' AND number = 3")

    with pytest.raises(StorageError, match="end at different heights"):
        Ledger.open(tmp_path)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    chain = stub_chain(12)
    appended = 0
    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count={pages + 6}")

        def append_all() -> None:
            nonlocal appended
            for height in range(1, len(chain.blocks) + 1):
                append(ledger, chain, height)
                appended = height

        with pytest.raises(StorageError, match="the disk is full; make room and start again"):
            append_all()
        with pytest.raises(StorageError, match="an earlier write failed; restart"):
            ledger.save_record(b"record")

    assert 0 < appended < len(chain.blocks)
    with Ledger.open(tmp_path) as ledger:
        assert (ledger.head, ledger.state) == (appended, chain.states[appended])
        append(ledger, chain, appended + 1)


def test_an_entry_that_is_whole_but_of_another_kind_is_reported_with_what_to_do(
    tmp_path: Path,
) -> None:
    """Its digest is right, so that only reading it shows what it is."""
    filled(tmp_path, stub_chain(2)).close()
    change_behind_the_triggers(
        tmp_path,
        "UPDATE entries SET (digest, data) = (SELECT digest, data FROM entries"
        " WHERE kind = 'certificate' AND number = 2) WHERE kind = 'block' AND number = 2",
    )

    with (
        Ledger.open(tmp_path) as ledger,
        pytest.raises(StorageError, match=r"the ledger is damaged: .*; move the file away"),
    ):
        ledger.block_at(2)


def test_a_write_that_the_database_took_back_itself_is_reported_and_the_last(
    tmp_path: Path,
) -> None:
    """SQLite ends a transaction on its own after some failures of a disk."""
    with filled(tmp_path, stub_chain(1)) as ledger:

        def fail() -> None:
            with ledger._transaction() as connection:
                connection.execute("ROLLBACK")
                raise sqlite3.OperationalError("disk I/O error")

        with pytest.raises(StorageError, match="the database failed: disk I/O error"):
            fail()
        with pytest.raises(StorageError, match="an earlier write failed; restart"):
            ledger.save_record(b"record")


def test_a_ledger_that_another_process_writes_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    first, second = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    first.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StorageError, match=r"some\.db: in use by another process; stop that one"):
        with_errors(path, lambda: second.execute("BEGIN EXCLUSIVE"))

    first.close()
    second.close()


def test_a_database_that_may_not_be_written_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    sqlite3.connect(path).close()
    reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)

    with pytest.raises(StorageError, match="check the permissions of file and folder"):
        with_errors(path, lambda: reader.execute("CREATE TABLE one (two)"))

    reader.close()


def test_a_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="file: Not a directory"):
        with_errors(tmp_path / "file", lambda: list((tmp_path / "file").iterdir()))


def with_errors(path: Path, work: Callable[[], object]) -> None:
    with storage_errors(path):
        work()
