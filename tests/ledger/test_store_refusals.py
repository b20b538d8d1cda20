"""What the store refuses: foreign, damaged and full disks are reported and lose nothing (P53)."""

import re
import sqlite3
from pathlib import Path

import pytest

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
