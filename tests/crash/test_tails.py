"""Whatever part of the newest writes a crash cut off, the ledger opens at a whole prefix.

`FEDNODE_TAIL_STEP` sets how many bytes lie between two cuts; 1 tries every length.
"""

import os
import shutil
from pathlib import Path

import pytest

from ledger.errors import StorageError
from ledger.store import DATABASE_NAME, Ledger
from tests.support.ledger import Chain, genesis, stub_chain

LENGTH = 6
STEP = int(os.environ.get("FEDNODE_TAIL_STEP", "131"))


@pytest.fixture(scope="module")
def chain() -> Chain:
    return stub_chain(LENGTH)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Path:
    """A folder as a process leaves it that ends without closing, some of it in the log only."""
    folder, left = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("left")
    with Ledger.create(folder, genesis(chain.contract, chain.keys)) as ledger:
        for height in range(1, LENGTH + 1):
            if height == LENGTH:
                start = log_of(folder).stat().st_size
                (left / "start").write_text(str(start))
            i = height - 1
            ledger.append(chain.blocks[i], chain.certificates[i], chain.states[height])
            ledger.save_record(b"record %d" % height)
        for path in (folder / DATABASE_NAME, log_of(folder)):
            shutil.copy(path, left)
    return left


def log_of(folder: Path) -> Path:
    return folder / f"{DATABASE_NAME}-wal"


def test_every_length_of_the_newest_writes_gives_a_whole_prefix(
    tmp_path: Path, chain: Chain, crashed: Path
) -> None:
    log = log_of(crashed).read_bytes()
    start = int((crashed / "start").read_text())
    found = []

    for length in [*range(start, len(log), STEP), len(log)]:
        shutil.copy(crashed / DATABASE_NAME, tmp_path)
        log_of(tmp_path).write_bytes(log[:length])
        with Ledger.open(tmp_path) as ledger:
            head, record = ledger.head, ledger.load_record()
            assert ledger.state == chain.states[head]
        assert record in {b"record %d" % head, b"record %d" % (head - 1)}
        found.append((head, record))

    assert found == sorted(found)
    assert found[0] == (LENGTH - 1, b"record %d" % (LENGTH - 1))
    assert found[-1] == (LENGTH, b"record %d" % LENGTH)
    assert (LENGTH, b"record %d" % (LENGTH - 1)) in found


def test_every_length_of_the_database_itself_is_refused_with_one_sentence(
    tmp_path: Path, chain: Chain
) -> None:
    whole = tmp_path / "whole"
    with Ledger.create(whole, genesis(chain.contract, chain.keys)) as ledger:
        ledger.append(chain.blocks[0], chain.certificates[0], chain.states[1])
    content = (whole / DATABASE_NAME).read_bytes()
    cut = tmp_path / DATABASE_NAME

    for length in range(max(0, len(content) - 4096), len(content), STEP):
        cut.write_bytes(content[:length])
        with pytest.raises(StorageError, match=r"ledger\.db: the ledger is damaged: .+; move"):
            Ledger.open(tmp_path)
