"""The ledger on disk: what is appended is durable, whole, in order and never changes (rule P53)."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.database import STATES_KEPT
from ledger.encoding import encode
from ledger.errors import StorageError
from ledger.keys import Signed, sign
from ledger.records import FRESH, Block, Proposal, block_id
from ledger.state import initial_state
from ledger.store import COUNTERS_PER_RUN, DATABASE_NAME, Ledger
from tests.support.evidence import proof
from tests.support.ledger import Chain, stub_chain
from tests.support.store import append, filled, genesis_of


def proposal(chain: Chain, block: Block, *, view: int) -> Signed[Proposal]:
    statement = Proposal(
        height=block.header.height, view=view, valid_view=FRESH, block_id=block_id(block.header)
    )
    return sign(statement, chain.keys[0], signer=0, chain_id=chain.state.chain_id)


def test_a_new_ledger_holds_the_genesis_and_the_first_state(tmp_path: Path) -> None:
    chain = stub_chain(0)

    with Ledger.create(tmp_path / "made", genesis_of(chain)) as ledger:
        assert ledger.genesis == genesis_of(chain)
        assert ledger.chain_id == chain.state.chain_id
        assert (ledger.head, ledger.state) == (0, initial_state(chain.contract))
        assert ledger.load_record() is None


def test_what_was_appended_is_there_after_reopening(tmp_path: Path) -> None:
    chain = stub_chain(4)

    filled(tmp_path, chain).close()

    with Ledger.open(tmp_path, genesis=genesis_of(chain)) as ledger:
        assert ledger.head == 4
        assert ledger.state == chain.state
        assert list(ledger.blocks(1, 4)) == chain.blocks
        assert list(ledger.blocks(2, 3)) == chain.blocks[1:3]
        assert [ledger.certificate_at(height) for height in (1, 2, 3, 4)] == chain.certificates


def test_the_certificate_of_a_lower_height_is_the_canonical_one(tmp_path: Path) -> None:
    """Rule P51: the local one may lack votes that the next block's proposer had."""
    chain = stub_chain(1)
    decided = replace(
        chain.certificates[0],
        bitmap=b"\x07",
        signatures=chain.certificates[0].signatures[:3],
    )
    chain.add(chain.build())
    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        ledger.append(chain.blocks[0], decided, chain.states[1])
        assert ledger.certificate_at(1) == decided

        append(ledger, chain, 2)

        assert ledger.certificate_at(1) == chain.certificates[0]


def test_the_latest_states_are_kept_and_older_ones_are_not(tmp_path: Path) -> None:
    chain = stub_chain(5)

    with filled(tmp_path, chain) as ledger:
        for height in range(5 - STATES_KEPT + 1, 6):
            assert ledger.state_at(height) == chain.states[height]
        with pytest.raises(StorageError, match="expected state 3, but"):
            ledger.state_at(5 - STATES_KEPT)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: (c.blocks[2], c.certificates[2], c.states[3]), "expected the block of height 2"),
        (lambda c: (c.blocks[0], c.certificates[0], c.states[1]), "expected the block of height 2"),
        (lambda c: (c.blocks[1], c.certificates[0], c.states[2]), "certificate is of another"),
        (lambda c: (c.blocks[1], c.certificates[1], c.states[1]), "state is that after another"),
    ],
)
def test_only_the_next_block_with_its_own_certificate_and_state_is_appended(
    tmp_path: Path, spoil: Callable[[Chain], tuple[object, object, object]], message: str
) -> None:
    chain = stub_chain(3)
    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        append(ledger, chain, 1)

        with pytest.raises(RuntimeError, match=message):
            ledger.append(*spoil(chain))  # type: ignore[arg-type]  # the table mixes its rows

        assert ledger.head == 1
        append(ledger, chain, 2)


def test_a_block_on_another_parent_is_not_appended(tmp_path: Path) -> None:
    chain, other = stub_chain(2), stub_chain(0)
    other.add(other.build(view=1))
    other.add(other.build())

    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        append(ledger, chain, 1)
        with pytest.raises(RuntimeError, match="the parent is not this ledger's tip"):
            ledger.append(other.blocks[1], other.certificates[1], other.states[2])


@pytest.mark.parametrize("kind", ["genesis", "block", "certificate", "state"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET data = x'00' WHERE kind = ?",
        "UPDATE entries SET number = number + 100 WHERE kind = ?",
        "DELETE FROM entries WHERE kind = ?",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE kind = ?",
        "INSERT INTO entries SELECT kind, number + 100, digest, data FROM entries WHERE kind = ?",
    ],
)
def test_the_database_itself_refuses_to_change_what_was_appended(
    tmp_path: Path, kind: str, statement: str
) -> None:
    chain = stub_chain(3)
    filled(tmp_path, chain).close()
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)

    with pytest.raises(sqlite3.IntegrityError, match=r"the ledger (only grows|grows in order)"):
        connection.execute(statement, (kind,))

    connection.close()
    with Ledger.open(tmp_path) as ledger:
        assert ledger.state == chain.state


def test_writes_wait_for_the_disk(tmp_path: Path) -> None:
    with filled(tmp_path, stub_chain(1)) as ledger:
        pragma = ledger._connection.execute

        assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
        assert pragma("PRAGMA synchronous").fetchone() == (2,)


def test_the_newest_record_is_loaded_after_reopening(tmp_path: Path) -> None:
    chain = stub_chain(0)
    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        ledger.save_record(b"first")
        ledger.save_record(b"second")

    with Ledger.open(tmp_path) as ledger:
        assert ledger.load_record() == b"second"


def test_proposals_are_kept_until_their_height_is_decided(tmp_path: Path) -> None:
    chain = stub_chain(1)
    next_block, rival = chain.build(), chain.build(view=1)
    kept = [
        (proposal(chain, next_block, view=0), next_block),
        (proposal(chain, rival, view=1), rival),
        (proposal(chain, next_block, view=2), next_block),
    ]
    ledger = filled(tmp_path, chain)
    for signed, block in reversed(kept):
        ledger.save_proposal(signed, block)
    ledger.save_proposal(*kept[0])
    ledger.close()

    with Ledger.open(tmp_path) as ledger:
        assert list(ledger.load_proposals(2)) == kept
        assert ledger.load_proposals(3) == ()

        chain.add(next_block)
        ledger.append(next_block, chain.certificates[1], chain.state)

        assert ledger.load_proposals(2) == ()


def test_counters_of_a_run_begin_above_those_of_earlier_runs_whatever_the_clock_says(
    tmp_path: Path,
) -> None:
    with Ledger.create(tmp_path, genesis_of(stub_chain(0))) as ledger:
        first = ledger.first_counter("pulls", 5_000)

    with Ledger.open(tmp_path) as ledger:
        later, set_back, again = (ledger.first_counter("pulls", ms) for ms in (9_000, 100, 9_000))
        other = ledger.first_counter("others", 7)

    assert (first, later, other) == (5_000, 9_000, 7)
    assert (set_back, again) == (9_000 + COUNTERS_PER_RUN, 9_000 + 2 * COUNTERS_PER_RUN)


def test_evidence_that_waits_for_a_block_survives_a_restart(tmp_path: Path) -> None:
    chain = stub_chain(2)
    older, newer = (proof(chain, 1, height=height) for height in (1, 2))
    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        for member, evidence in ((1, older), (2, proof(chain, 2)), (1, newer)):
            ledger.save_evidence(member, evidence)

    with Ledger.open(tmp_path) as ledger:
        assert ledger.load_evidence() == (newer, proof(chain, 2))


def test_an_inspector_reads_along_while_the_node_appends(tmp_path: Path) -> None:
    chain = stub_chain(2)
    with Ledger.create(tmp_path, genesis_of(chain)) as writer:
        append(writer, chain, 1)
        with Ledger.open(tmp_path, read_only=True) as reader:
            assert reader.head == 1

            append(writer, chain, 2)

            assert (reader.head, reader.block_at(2)) == (2, chain.blocks[1])


def test_an_inspector_reads_what_a_killed_node_left(tmp_path: Path) -> None:
    """The write-ahead log is still there, and is not folded in by a reader."""
    chain = stub_chain(2)
    writer = filled(tmp_path / "node", chain)
    (tmp_path / "copy").mkdir()
    for suffix in ("", "-wal"):
        data = (tmp_path / "node" / f"{DATABASE_NAME}{suffix}").read_bytes()
        (tmp_path / "copy" / f"{DATABASE_NAME}{suffix}").write_bytes(data)
    writer.close()
    before = (tmp_path / "copy" / DATABASE_NAME).read_bytes()

    with Ledger.open(tmp_path / "copy", read_only=True) as reader:
        assert list(reader.blocks(1, reader.head)) == chain.blocks

    assert (tmp_path / "copy" / DATABASE_NAME).read_bytes() == before


def test_a_ledger_may_be_used_from_another_thread(tmp_path: Path) -> None:
    """A host appends in a worker thread, so that its loop never waits for the disk."""
    chain = stub_chain(2)
    with Ledger.create(tmp_path, genesis_of(chain)) as ledger:
        append(ledger, chain, 1)
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(append, ledger, chain, 2).result()

        assert ledger.head == 2


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    filled(tmp_path, stub_chain(1)).close()

    with (
        Ledger.open(tmp_path, read_only=True) as reader,
        pytest.raises(StorageError, match="readonly database; check the permissions"),
    ):
        reader.save_record(b"record")


def test_blocks_and_certificates_are_passed_on_as_they_were_stored(tmp_path: Path) -> None:
    """Rule P80: the certificate is the one by which this node decided."""
    chain = stub_chain(2)
    with filled(tmp_path, chain) as ledger:
        found = [(ledger.encoded_block(each), ledger.encoded_certificate(each)) for each in (1, 2)]

    assert found == [
        (encode(block), encode(certificate))
        for block, certificate in zip(chain.blocks, chain.certificates, strict=True)
    ]
