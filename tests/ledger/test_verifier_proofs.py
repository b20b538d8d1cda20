"""`python -m ledger check-proof` and `verify --checkpoint`: for auditors (P54, P55)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.__main__ import EXIT_FINDINGS, EXIT_HOLDS, EXIT_USAGE, main
from ledger.anchors import check_anchor, make_anchor
from ledger.checkpoint import encode_checkpoint, make_checkpoint
from ledger.encoding import encode
from ledger.proof_report import PROOF_LIMITS
from ledger.proofs import Chain as Ledger
from ledger.proofs import prove_update
from tests.support.forgery import Forgery
from tests.support.ledger import Chain, chain, empty_chain, genesis

PROVEN = (2, 1)


@pytest.fixture(scope="module")
def made() -> Chain:
    return chain(4)


@pytest.fixture
def folder(made: Chain, tmp_path: Path) -> Path:
    """Genesis, export, proof and checkpoint as files."""
    height, member = PROVEN
    ledger = Ledger(contract=made.contract, blocks=made.blocks, certificate=made.certificate)
    proof = prove_update(ledger, height=height, member=member)
    (tmp_path / "genesis").write_bytes(encode(genesis(made.contract, made.keys)))
    (tmp_path / "export").write_bytes(
        Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export
    )
    (tmp_path / "proof").write_bytes(encode(proof))
    (tmp_path / "checkpoint").write_bytes(checkpoint_of(made, 4))
    return tmp_path


def checkpoint_of(made: Chain, height: int) -> bytes:
    anchor = make_anchor(made.contract, made.blocks, made.certificate, height)
    return encode_checkpoint(make_checkpoint(check_anchor(made.contract, anchor), anchor))


def check_proof(folder: Path, *more: str) -> int:
    return main(["check-proof", str(folder / "proof"), "--genesis", str(folder / "genesis"), *more])


def verify(folder: Path, *more: str) -> int:
    return main(["verify", str(folder / "export"), "--genesis", str(folder / "genesis"), *more])


def test_a_proof_says_whose_update_counted_where_and_how_much(
    made: Chain, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    height, member = PROVEN
    contributions = made.blocks[height - 1].header.results.contributions

    code = check_proof(folder, "--json")

    shown = json.loads(capsys.readouterr().out)
    assert code == EXIT_HOLDS
    assert (shown["height"], shown["member"], shown["name"]) == (height, member, "hospital-1")
    assert shown["weight"] == contributions[member].weight
    assert shown["total_weight"] == sum(each.weight for each in contributions)
    assert shown["signers"] == [0, 1, 2, 3]
    assert shown["certified_height"] == 4
    assert shown["cannot_know"] == list(PROOF_LIMITS)


def test_a_proof_is_told_in_words_with_what_it_cannot_show(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = check_proof(folder, "--checkpoint", str(folder / "checkpoint"))

    lines = capsys.readouterr().out.splitlines()
    assert code == EXIT_HOLDS
    assert lines[-1] == "the proof holds"
    assert "          of member 1 hospital-1, signed by its key" in lines
    assert all(f"  - {limit}" in lines for limit in PROOF_LIMITS)


@pytest.mark.parametrize("name", ["proof", "genesis", "checkpoint"])
def test_a_flipped_bit_in_any_file_is_found(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)

    code = check_proof(folder, "--checkpoint", str(folder / "checkpoint"))

    assert code == EXIT_FINDINGS
    assert "the proof holds" not in capsys.readouterr().out


def test_a_genesis_without_consents_proves_nothing(
    made: Chain, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "genesis").write_bytes(encode(genesis(made.contract, made.keys[:3])))

    assert check_proof(folder) == EXIT_FINDINGS
    assert capsys.readouterr().out.startswith("NOT VALID: expected one signature of each")


def test_a_missing_file_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "proof").unlink()

    assert check_proof(folder) == EXIT_USAGE
    assert "cannot read" in capsys.readouterr().err


def test_a_ledger_that_contains_a_checkpoint_holds(folder: Path) -> None:
    assert verify(folder, "--checkpoint", str(folder / "checkpoint")) == EXIT_HOLDS


def test_a_ledger_that_was_cut_off_or_forked_before_a_checkpoint_is_found(
    made: Chain, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fork = empty_chain(made.contract, made.keys)
    for _ in range(5):
        fork.add(fork.build(view=1))
    (folder / "longer").write_bytes(checkpoint_of(fork, 5))
    (folder / "fork").write_bytes(checkpoint_of(fork, 3))
    (folder / "text").write_bytes(b"no checkpoint")

    codes = [verify(folder, "--checkpoint", str(folder / name)) for name in ("longer", "fork")]
    out = capsys.readouterr().out
    broken = verify(folder, "--checkpoint", str(folder / "text"))

    assert codes == [EXIT_FINDINGS, EXIT_FINDINGS]
    assert "height 5 field checkpoint rule P55: the checkpoint covers 5 blocks" in out
    assert "height 3 field checkpoint rule P55: the ledger has other blocks" in out
    assert broken == EXIT_FINDINGS
    assert "field checkpoint rule P55: expected at least 5 lines" in capsys.readouterr().out


@pytest.mark.slow
def test_a_real_process_checks_a_proof_without_numpy(folder: Path) -> None:
    code = (
        "import sys; from ledger.__main__ import main; code = main(sys.argv[1:]);"
        "assert not {'numpy', 'fednode', 'consensus'} & set(sys.modules); sys.exit(code)"
    )
    arguments = ["check-proof", str(folder / "proof"), "--genesis", str(folder / "genesis")]

    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (EXIT_HOLDS, "")
    assert done.stdout.endswith("the proof holds\n")
