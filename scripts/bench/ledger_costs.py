"""Print as JSON what an audit costs besides signatures, and an append besides the disk.

An audit of blocks in which all members trained and voted is compared with nothing but the Ed25519
verifications that it makes, in processor time; an append with one SQLite commit of the same bytes
under the same settings, in wall time. Both sides take turns, so that other work hits both.

Example: scripts/bench/ledger_costs.py --validators 10 --blocks 1000
"""

import argparse
import gc
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import nacl.bindings

from ledger import keys
from ledger.audit import audit
from ledger.encoding import decode, encode
from ledger.genesis import Genesis
from ledger.keys import ED25519
from ledger.records import Block
from ledger.store import Ledger
from tests.support.ledger import Chain, chain, genesis

Claim = tuple[bytes, bytes, bytes]
APPENDS = 200


class Recorder:
    """Notes every signature that is checked."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Note a claim and check it."""
        self.claims.append((public_key, message, signature))
        return ED25519.is_valid(public_key, message, signature)


def main() -> int:
    """Measure both and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validators", type=int, default=10, help="members, all of them vote")
    parser.add_argument("--blocks", type=int, default=1000, help="length of the chain")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    parser.add_argument("--folder", type=Path, help="where the ledger is made (a temporary one)")
    options = parser.parse_args()
    made = chain(options.blocks, n=options.validators)
    founded = genesis(made.contract, made.keys)
    report = {
        "validators": options.validators,
        "audit": measure_audit(made, founded, options.repeats),
        "append": measure_append(made, founded, options.repeats, options.folder),
    }
    print(json.dumps(report, indent=1))
    return 0


def measure_audit(made: Chain, founded: Genesis, repeats: int) -> dict[str, float]:
    """Time audits, from blocks and from their bytes, and the bare verifications."""
    encoded = [encode(block) for block in made.blocks]
    recorder = Recorder()
    report = audit(founded, made.blocks, made.certificate, scheme=recorder)
    assert not report.findings, "a valid chain"
    claims = list(dict.fromkeys(recorder.claims))
    bare, whole, reading = [], [], []
    for _ in range(repeats):
        blocks: list[Block] = []
        bare.append(timed(partial(verify, claims)))
        reading.append(timed(partial(read_into, blocks, encoded)))
        keys._check_once.cache_clear()  # noqa: SLF001  # as in a process that begins
        whole.append(timed(partial(audit, founded, blocks, made.certificate)))
    return {
        "blocks": len(encoded),
        "signatures": len(claims),
        "bare_s": round(median(bare), 3),
        "reading_s": round(median(reading), 3),
        "audit_s": round(median(whole), 3),
        "ratio": round(median(a / b for a, b in zip(whole, bare, strict=True)), 3),
        "ratio_with_reading": round(
            median((a + r) / b for a, r, b in zip(whole, reading, bare, strict=True)), 3
        ),
    }


def read_into(blocks: list[Block], encoded: list[bytes]) -> None:
    """Read blocks as an auditor gets them."""
    blocks += [decode(Block, each) for each in encoded]


def verify(claims: list[Claim]) -> None:
    """Check signatures and do nothing else."""
    for public_key, message, signature in claims:
        nacl.bindings.crypto_sign_open(signature + message, public_key)


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of some work, without the collection of what was before it."""
    gc.collect()
    started = process_time()
    work()
    return process_time() - started


def measure_append(
    made: Chain, founded: Genesis, repeats: int, parent: Path | None
) -> dict[str, float]:
    """Time appends, and commits of as many bytes in one row, by turns."""
    ours, bare, sizes = [], [], []
    with tempfile.TemporaryDirectory(prefix="fednode-bench-", dir=parent) as name:
        for turn in range(repeats):
            folder = Path(name) / f"ledger-{turn}"
            with Ledger.create(folder, founded) as ledger, plain(Path(name) / f"{turn}") as rows:
                for height in range(1, min(APPENDS, len(made.blocks)) + 1):
                    block, certificate = made.blocks[height - 1], made.certificates[height - 1]
                    state = made.states[height]
                    data = b"".join(map(encode, (block, certificate, state)))
                    sizes.append(len(data))
                    started = perf_counter()
                    ledger.append(block, certificate, state)
                    between = perf_counter()
                    rows.execute("INSERT INTO entries VALUES (?, ?)", (height, data))
                    rows.commit()
                    ours.append(between - started)
                    bare.append(perf_counter() - between)
    return {
        "appends": len(ours),
        "bytes": max(sizes),
        "append_ms": round(1000 * median(ours), 3),
        "commit_ms": round(1000 * median(bare), 3),
        "ratio": round(median(ours) / median(bare), 3),
    }


def plain(path: Path) -> sqlite3.Connection:
    """A database with one table, as durable as the ledger's."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, data BLOB) WITHOUT ROWID")
    connection.commit()
    return connection


if __name__ == "__main__":
    sys.exit(main())
