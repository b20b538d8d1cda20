"""A ledger survives the end of its process and damage to its file, or says clearly that it did not.

Power cuts are stood for by what they can leave behind: any prefix of the write-ahead log.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from ledger.errors import StorageError
from ledger.store import DATABASE_NAME, Ledger
from tests.support.ledger import Chain, genesis, stub_chain

LENGTH = 40
APPEND = f"""
import resource
import sys
from pathlib import Path
from ledger.errors import StorageError
from ledger.store import Ledger
from tests.support.ledger import stub_chain
file_bytes_max = int(sys.argv[2])
if file_bytes_max:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
chain = stub_chain({LENGTH})
with Ledger.open(Path(sys.argv[1])) as ledger:
    print("ready", flush=True)
    try:
        for height in range(ledger.head + 1, {LENGTH} + 1):
            i = height - 1
            ledger.append(chain.blocks[i], chain.certificates[i], chain.states[height])
            ledger.save_record(b"record %d" % height)
            print(height, flush=True)
    except StorageError as error:
        print(error, flush=True)
"""


@pytest.fixture(scope="module")
def chain() -> Chain:
    return stub_chain(LENGTH)


def appender(folder: Path, *, file_bytes_max: int = 0) -> subprocess.Popen[str]:
    """A process that appends blocks until it ends, and says each height when it is durable."""
    process = subprocess.Popen(
        [sys.executable, "-c", APPEND, str(folder), str(file_bytes_max)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def assert_prefix(folder: Path, chain: Chain, *, at_least: int) -> int:
    """Check that a folder holds a whole prefix of the chain, and return its height."""
    with Ledger.open(folder, genesis=genesis(chain.contract, chain.keys)) as ledger:
        head = ledger.head
        assert head >= at_least
        assert list(ledger.blocks(1, head)) == chain.blocks[:head]
        assert ledger.state == chain.states[head]
        if head:
            assert ledger.certificate_at(head) == chain.certificates[head - 1]
            record = ledger.load_record() or b"record 0"
            assert head - 1 <= int(record.split()[1]) <= head
        return head


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_said_was_durable(
    tmp_path: Path, chain: Chain
) -> None:
    Ledger.create(tmp_path, genesis(chain.contract, chain.keys)).close()
    head = 0

    for lines_before_kill in (1, 4, 2, 9, 3):
        process = appender(tmp_path)
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(lines_before_kill)]
        process.kill()
        process.communicate()
        assert said[0] == head + 1
        head = assert_prefix(tmp_path, chain, at_least=said[-1])

    assert head < LENGTH


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_the_process_with_one_sentence(
    tmp_path: Path, chain: Chain
) -> None:
    """The limit on file sizes stands for the disk; it holds for the child process only."""
    Ledger.create(tmp_path, genesis(chain.contract, chain.keys)).close()

    out, _ = appender(tmp_path, file_bytes_max=120_000).communicate()

    *heights, sentence = out.splitlines()
    assert heights == [str(height) for height in range(1, len(heights) + 1)]
    assert 0 < len(heights) < LENGTH
    assert f"{DATABASE_NAME}: the database failed: disk I/O error" in sentence
    assert_prefix(tmp_path, chain, at_least=len(heights))


def crashed(folder: Path, chain: Chain, length: int) -> tuple[bytes, bytes]:
    """The database file and the log of a ledger whose process ended without closing it."""
    with Ledger.create(folder, genesis(chain.contract, chain.keys)) as ledger:
        for height in range(1, length + 1):
            i = height - 1
            ledger.append(chain.blocks[i], chain.certificates[i], chain.states[height])
            ledger.save_record(b"record %d" % height)
        path = folder / DATABASE_NAME
        return path.read_bytes(), Path(f"{path}-wal").read_bytes()


def lay_out(folder: Path, database: bytes, log: bytes) -> Path:
    folder.mkdir()
    (folder / DATABASE_NAME).write_bytes(database)
    (folder / f"{DATABASE_NAME}-wal").write_bytes(log)
    return folder


def test_any_prefix_of_the_log_gives_a_prefix_of_the_ledger(tmp_path: Path, chain: Chain) -> None:
    database, log = crashed(tmp_path / "whole", chain, 6)
    heads = []

    for i, length in enumerate([*range(0, len(log), 3555), len(log)]):
        folder = lay_out(tmp_path / str(i), database, log[:length])
        heads.append(assert_prefix(folder, chain, at_least=0))

    assert heads == sorted(heads)
    assert (heads[0], heads[-1]) == (0, 6)


def test_a_torn_or_flipped_end_of_the_log_gives_a_prefix_of_the_ledger(
    tmp_path: Path, chain: Chain
) -> None:
    database, log = crashed(tmp_path / "whole", chain, 6)

    for i, offset in enumerate(range(0, len(log), 7001)):
        torn = log[:offset] + bytes(min(512, len(log) - offset)) + log[offset + 512 :]
        flipped = log[:offset] + bytes([log[offset] ^ 4]) + log[offset + 1 :]
        for name, damaged in (("torn", torn), ("flipped", flipped)):
            folder = lay_out(tmp_path / f"{name} {i}", database, damaged)
            assert assert_prefix(folder, chain, at_least=0) <= 6


def test_a_database_cut_off_anywhere_is_refused_clearly(tmp_path: Path, chain: Chain) -> None:
    crashed(tmp_path / "whole", chain, 6)
    whole = (tmp_path / "whole" / DATABASE_NAME).read_bytes()

    for i, length in enumerate(range(0, len(whole), 1777)):
        folder = lay_out(tmp_path / str(i), whole[:length], b"")
        with pytest.raises(StorageError, match=r"ledger\.db: (the ledger is damaged|not a ledger)"):
            Ledger.open(folder)


def test_a_flipped_byte_of_the_database_is_refused_clearly_or_harmless(
    tmp_path: Path, chain: Chain
) -> None:
    """Free space and SQLite's own unused header fields may change without harm."""
    crashed(tmp_path / "whole", chain, 6)
    whole = (tmp_path / "whole" / DATABASE_NAME).read_bytes()
    refusals = []

    for i, offset in enumerate(range(0, len(whole), 397)):
        flipped = whole[:offset] + bytes([whole[offset] ^ 0x10]) + whole[offset + 1 :]
        folder = lay_out(tmp_path / str(i), flipped, b"")
        try:
            assert_prefix(folder, chain, at_least=6)
        except StorageError as error:
            refusals.append(str(error))

    assert len(refusals) > 30
    assert all(DATABASE_NAME in text for text in refusals)
