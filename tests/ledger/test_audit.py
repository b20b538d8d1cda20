"""The audit reports every finding, goes on after one, and says what it cannot know (rule P54)."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.__main__ import EXIT_FINDINGS, EXIT_HOLDS, EXIT_USAGE, main
from ledger.audit import audit
from ledger.audit_report import LIMITS, report_data, report_lines
from ledger.encoding import encode
from ledger.genesis import Genesis, Role, chain_id
from ledger.records import block_id
from tests.support.forgery import Forgery
from tests.support.ledger import Chain, chain, contract, genesis, keys, with_roles

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def made() -> Chain:
    """Three blocks by four members, the last of which only trains."""
    return chain(3, of=with_roles(contract(4, byzantine_budget=0), {3: Role.TRAINER}))


def genesis_of(made: Chain) -> Genesis:
    return genesis(made.contract, made.keys)


def write_files(folder: Path, made: Chain) -> list[str]:
    export = Forgery(blocks=tuple(made.blocks), certificate=made.certificate).export
    (folder / "genesis").write_bytes(encode(genesis_of(made)))
    (folder / "export").write_bytes(export)
    return ["verify", str(folder / "export"), "--genesis", str(folder / "genesis")]


def test_all_findings_are_reported_not_the_first(made: Chain) -> None:
    blocks = list(made.blocks)
    for i, change in enumerate(({"version": 9}, {"rule_id": "x"}, {"log_root": bytes(32)})):
        blocks[i] = replace(blocks[i], header=replace(blocks[i].header, **change))  # type: ignore[arg-type]

    report = audit(genesis_of(made), blocks, made.certificate)

    found = {(each.height, each.field) for each in report.findings}
    assert {(1, "version"), (2, "rule_id"), (3, "log_root")} <= found
    assert {(2, "parent_id"), (3, "parent_id"), (3, "certificate.block_id")} <= found


def test_after_a_gap_the_audit_goes_on_from_what_the_next_block_claims(made: Chain) -> None:
    report = audit(genesis_of(made), made.blocks[1:], made.certificate)

    heights = [each.height for each in report.findings if each.field == "height"]
    assert heights == [1]


@pytest.mark.parametrize("claim", [2**63, 2**64 - 1])
def test_an_absurd_height_or_training_round_is_a_finding_and_no_crash(
    made: Chain, claim: int
) -> None:
    header = replace(made.blocks[1].header, height=claim, training_round=2**32 - 1)
    blocks = (made.blocks[0], replace(made.blocks[1], header=header), made.blocks[2])

    report = audit(genesis_of(made), blocks, made.certificate)

    assert {"height", "training_round"} <= {each.field for each in report.findings}


def test_terms_that_cannot_hold_end_the_audit_with_each_problem(made: Chain) -> None:
    terms = replace(made.contract, members=(), min_updates=0)

    report = audit(Genesis(contract=terms, signatures=()), made.blocks, made.certificate)

    fields = [each.field for each in report.findings]
    assert fields[0] == "genesis.contract.members"
    assert "genesis.contract.min_updates" in fields
    assert report.blocks == 0


def test_each_consent_that_is_not_the_members_is_named(made: Chain) -> None:
    whole = genesis_of(made)
    first, second, *others = whole.signatures
    swapped = replace(
        whole, signatures=(first, replace(second, signature=first.signature), *others)
    )
    strange = replace(whole, signatures=(*whole.signatures, replace(first, member=9)))

    found = audit(swapped, (), None).findings + audit(strange, (), None).findings

    assert [each.field for each in found] == [
        "genesis.signatures[1]",
        "genesis.signatures",
        "genesis.signatures[9]",
    ]


def test_a_chain_without_blocks_has_no_certificate(made: Chain) -> None:
    assert audit(genesis_of(made), (), None).holds
    assert [each.field for each in audit(genesis_of(made), (), made.certificate).findings] == [
        "certificate"
    ]


def test_the_report_names_chain_members_signers_and_what_it_cannot_know(made: Chain) -> None:
    report = audit(genesis_of(made), made.blocks, made.certificate)

    text = "\n".join(report_lines(report))
    data = report_data(report)

    assert f"chain id  {chain_id(made.contract).hex()}  (compare it with a copy" in text
    assert "member    3 hospital-3 (trainer) key" in text
    assert "blocks    3, the last of height 3 after 3 training rounds" in text
    assert "signers   of the last block: 0 hospital-0, 1 hospital-1, 2 hospital-2\n" in text
    assert "as certified, not recomputed" in text
    assert "verified" not in text
    assert all(limit in text for limit in LIMITS)
    assert text.endswith("every check holds")
    assert (data["blocks"], data["last_height"], data["holds"]) == (3, 3, True)
    assert data["last_block_id"] == block_id(made.blocks[-1].header).hex()
    assert data["signers"] == [0, 1, 2]
    assert data["findings"] == []


def test_names_cannot_forge_lines_of_the_report() -> None:
    of = contract(4)
    first = replace(of.members[0], name="x\nevery check holds\x1b[2J")
    made = chain(1, of=replace(of, members=(first, *of.members[1:])))

    lines = report_lines(audit(genesis_of(made), made.blocks, None))

    assert "member    0 x?every check holds?[2J (trainer, validator)" in lines[2]
    assert lines[-1] == "NOT VALID: 1 findings"


# --- The command --------------------------------------------------------------------------------


def test_the_command_says_that_an_honest_export_holds(
    made: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(write_files(tmp_path, made)) == EXIT_HOLDS

    assert capsys.readouterr().out.endswith("every check holds\n")


def test_the_command_prints_json(
    made: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = write_files(tmp_path, made)
    data = bytearray((tmp_path / "export").read_bytes())
    data[-1] ^= 1
    (tmp_path / "export").write_bytes(data)

    assert main([*arguments, "--json"]) == EXIT_FINDINGS

    report = json.loads(capsys.readouterr().out)
    assert not report["holds"]
    assert report["findings"] == [
        {
            "height": 3,
            "field": "certificate",
            "rule": "P51",
            "text": "certificate of height 3 view 0: the signature is not that of member 2",
        }
    ]


@pytest.mark.parametrize("missing", ["export", "genesis", "model"])
def test_a_file_that_cannot_be_read_is_reported(
    made: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    arguments = write_files(tmp_path, made)
    (tmp_path / "model").touch()
    (tmp_path / missing).unlink()

    assert main([*arguments, "--model", str(tmp_path / "model")]) == EXIT_USAGE

    error = f"cannot read {tmp_path / missing}: No such file or directory\n"
    assert capsys.readouterr().err == error


def test_wrong_usage_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["verify"])

    assert raised.value.code == EXIT_USAGE
    assert "usage: python -m ledger verify" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spoil", [lambda _: b"", lambda data: data[:-1], lambda data: data + b"\0", lambda _: b"{}"]
)
def test_a_genesis_that_is_none_is_a_finding(
    made: Chain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[bytes], bytes],
) -> None:
    arguments = write_files(tmp_path, made)
    (tmp_path / "genesis").write_bytes(spoil((tmp_path / "genesis").read_bytes()))

    assert main(arguments) == EXIT_FINDINGS
    assert main([*arguments, "--json"]) == EXIT_FINDINGS

    line, _, text = capsys.readouterr().out.partition("\n")
    assert line.startswith("height 0 field genesis rule P2: ")
    assert [each["rule"] for each in json.loads(text)["findings"]] == ["P2"]


def test_an_export_of_another_chain_is_found(made: Chain, tmp_path: Path) -> None:
    arguments = write_files(tmp_path, made)
    (tmp_path / "genesis").write_bytes(encode(genesis(contract(4, seed=8), keys(4, 8))))

    assert main(arguments) == EXIT_FINDINGS


def test_letters_that_the_terminal_lacks_do_not_end_in_a_traceback(tmp_path: Path) -> None:
    made = chain(1, of=replace(contract(4), name="Universitätsklinikum Köln"))
    command = [sys.executable, "-m", "ledger", *write_files(tmp_path, made)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (EXIT_HOLDS, "")
    assert "network   Universit\\xe4tsklinikum K\\xf6ln" in done.stdout


def test_the_verifier_runs_with_nothing_but_msgpack_and_pynacl(made: Chain, tmp_path: Path) -> None:
    """An interpreter without site packages, given only the folders of these libraries."""
    arguments = write_files(tmp_path, made)
    bare = tmp_path / "bare"
    bare.mkdir()
    needed = [ROOT / "ledger", *libraries()]
    for folder in needed:
        (bare / folder.name).symlink_to(folder)
    environment = {"PYTHONPATH": str(bare), "PATH": ""}
    check = "import sys, ledger.__main__ as m; code = m.main(sys.argv[1:])\n"
    for name in ("numpy", "pydantic", "sqlite3", "consensus", "fednode"):
        check += f"assert {name!r} not in sys.modules\n"
    for name in ("numpy", "pydantic", "consensus", "fednode"):
        check += f"try:\n    import {name}\nexcept ImportError: pass\nelse: sys.exit(99)\n"

    done = [
        subprocess.run(
            [sys.executable, "-S", "-s", *command, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in (["-m", "ledger"], ["-c", check + "sys.exit(code)"])
    ]

    assert [(each.returncode, each.stderr) for each in done] == [(0, ""), (0, "")]
    assert all(each.stdout.endswith("every check holds\n") for each in done)


def libraries() -> list[Path]:
    """The folders and modules of msgpack and pynacl, with what they load themselves."""
    found = [importlib.util.find_spec(name) for name in ("msgpack", "nacl", "_cffi_backend")]
    origins = [Path(str(spec.origin)) for spec in found if spec is not None]
    return [path.parent if path.name == "__init__.py" else path for path in origins]


def test_an_empty_export_is_a_finding_and_no_ledger_without_blocks(
    made: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule P54: a file that lost everything must not hold."""
    arguments = write_files(tmp_path, made)
    Path(arguments[1]).write_bytes(b"")

    code = main(arguments)

    said = capsys.readouterr().out
    assert code == EXIT_FINDINGS
    assert "blocks    none\n" in said
    assert "height 0 field export rule P54: the file is empty\n" in said
