"""Every bit of an export counts: a flipped one is found, whatever field it is in (P2, P54)."""

import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from ledger.__main__ import EXIT_FINDINGS, EXIT_HOLDS, main
from ledger.audit_report import LIMITS
from ledger.encoding import encode
from ledger.export import write_export
from ledger.records import Block, QuorumCertificate
from tests.support.evidence import proof
from tests.support.fields import pieces
from tests.support.ledger import Chain, contract, empty_chain, genesis, keys
from tests.support.memo import MemoScheme

FLIPS = 2_000
LAST_LINE_BEFORE_FINDINGS = f"  - {LIMITS[-1]}"
FINDING = re.compile(r"height \d+ field \S+ rule P\d+a?: .+")


def small_history() -> Chain:
    """Three blocks: AGGREGATE with an outlier, EMPTY of a late view, AGGREGATE with evidence."""
    made = empty_chain(contract(4), keys(4))
    made.add(made.build(outliers=(2,)))
    made.add(made.build(view=4))
    made.add(made.build(evidence=(proof(made, 3),)))
    return made


def export_of(made: Chain) -> bytes:
    file = BytesIO()
    write_export(file, made.blocks, made.certificate)
    return file.getvalue()


def offsets_by_field(made: Chain) -> dict[str, list[int]]:
    """The offsets of the bytes of an export, by the kind of field that they belong to."""
    offsets: dict[str, list[int]] = defaultdict(list)
    position = 0
    for path, data in fields_of(made):
        offsets[path] += range(position, position + len(data))
        position += len(data)
    return offsets


def fields_of(made: Chain) -> Iterator[tuple[str, bytes]]:
    for block in made.blocks:
        yield from pieces(Block, block)
    for path, data in pieces(QuorumCertificate, made.certificate):
        yield f"tip:{path}", data


def write_files(folder: Path, made: Chain, export: bytes) -> list[str]:
    """Write genesis and export; return the arguments that verify them."""
    (folder / "genesis").write_bytes(encode(genesis(made.contract, made.keys)))
    (folder / "export").write_bytes(export)
    return ["verify", str(folder / "export"), "--genesis", str(folder / "genesis")]


def test_the_fields_of_an_export_are_all_of_its_bytes() -> None:
    made = small_history()

    assert b"".join(data for _, data in fields_of(made)) == export_of(made)


@pytest.mark.slow
def test_each_of_2000_flipped_bits_over_all_fields_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    made, rng, scheme = small_history(), random.Random(seed), MemoScheme()
    export = export_of(made)
    arguments = write_files(tmp_path, made, export)
    assert main(arguments, scheme=scheme) == EXIT_HOLDS
    strata = offsets_by_field(made)
    capsys.readouterr()

    for i in range(FLIPS):
        path = list(strata)[i % len(strata)]
        offset, bit = rng.choice(strata[path]), rng.randrange(8)
        flipped = bytearray(export)
        flipped[offset] ^= 1 << bit
        (tmp_path / "export").write_bytes(flipped)

        code = main(arguments, scheme=scheme)

        lines = capsys.readouterr().out.splitlines()
        assert code == EXIT_FINDINGS, f"{path}: bit {bit} at offset {offset}"
        findings = lines[lines.index(LAST_LINE_BEFORE_FINDINGS) + 1 : -1]
        assert findings, f"{path}: bit {bit} at offset {offset}"
        assert [line for line in findings if not FINDING.fullmatch(line)] == []

    assert len(strata) > 60


@pytest.mark.slow
def test_a_real_process_finds_flipped_bits_without_a_traceback(tmp_path: Path, seed: int) -> None:
    made, rng = small_history(), random.Random(seed)
    export = export_of(made)
    arguments = write_files(tmp_path, made, export)

    def verify() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ledger", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert (verify().returncode, verify().stderr) == (EXIT_HOLDS, "")
    for _ in range(5):
        flipped = bytearray(export)
        flipped[rng.randrange(len(export))] ^= 1 << rng.randrange(8)
        (tmp_path / "export").write_bytes(flipped)

        done = verify()

        assert (done.returncode, done.stderr) == (EXIT_FINDINGS, "")
        assert any(FINDING.fullmatch(line) for line in done.stdout.splitlines())


@pytest.mark.slow
def test_a_cut_export_is_found_at_every_length(tmp_path: Path) -> None:
    """A file that is cut off has no certificate at its end."""
    made, scheme = small_history(), MemoScheme()
    export = export_of(made)
    arguments = write_files(tmp_path, made, export)

    for length in range(0, len(export), 7):
        (tmp_path / "export").write_bytes(export[:length])
        assert main(arguments, scheme=scheme) == EXIT_FINDINGS, f"length {length}"
