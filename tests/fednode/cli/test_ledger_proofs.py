"""Checkpoints, proofs and forks by commands, on a network that four members made (P54, P55)."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from fednode.errors import ConfigError
from fednode.founding.genesis_files import save_genesis
from ledger.encoding import encode
from ledger.export import write_export
from ledger.merkle import ProofError
from ledger.store import Ledger
from tests.fednode.cli.support import TRAINING_ROUNDS, Made, invoke, json_of
from tests.support.ledger import Chain, chain, empty_chain, genesis


def test_a_proof_by_command_holds_in_both_checkers(made: Made, tmp_path: Path) -> None:
    proof, block = tmp_path / "p", json_of("ledger", "show", made.member(0), 2)
    wanted = block["contributions"][1]

    said = invoke(
        "ledger", "prove", made.member(0), "--height", 2, "--member", wanted["name"],
        "--out", proof,
    )  # fmt: skip
    shown = json_of("ledger", "check-proof", proof, "--genesis", made.genesis_file)
    text = invoke("ledger", "check-proof", proof, "--genesis", made.genesis_file).output

    assert said.output.startswith(f"{proof}: update of {wanted['name']} in block 2, ")
    assert (shown["member"], shown["weight"]) == (wanted["member"], wanted["weight"])
    assert (shown["block_id"], shown["certified_height"]) == (block["block_id"], TRAINING_ROUNDS)
    assert text.endswith("the proof holds\n")


def test_a_changed_proof_is_refused_with_exit_code_1(made: Made, tmp_path: Path) -> None:
    proof = tmp_path / "p"
    invoke("ledger", "prove", made.member(0), "--height", 1, "--member", 0, "--out", proof)
    data = bytearray(proof.read_bytes())
    data[len(data) // 3] ^= 1
    proof.write_bytes(data)

    result = invoke("ledger", "check-proof", proof, "--genesis", made.genesis_file)

    assert result.exit_code == 1
    assert result.output.startswith("NOT VALID: ")
    assert not json_of("ledger", "check-proof", proof, "--genesis", made.genesis_file)["holds"]


def test_a_proof_continues_a_checkpoint_of_an_earlier_height(made: Made, tmp_path: Path) -> None:
    known, proof = tmp_path / "c", tmp_path / "p"
    text = invoke("ledger", "checkpoint", made.member(1), "--height", 2, "--out", known).output
    arguments = ("ledger", "check-proof", proof, "--genesis", made.genesis_file)

    invoke(
        "ledger", "prove", made.member(2), "--height", 3, "--member", 1, "--out", proof,
        "--checkpoint", known,
    )  # fmt: skip

    assert text.splitlines()[1] == "2"
    assert invoke(*arguments, "--checkpoint", known).exit_code == 0
    assert invoke("ledger", "verify", made.member(3), "--checkpoint", known).exit_code == 0


def test_a_ledger_without_the_blocks_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    genesis_file, left, right = forks(tmp_path, view=0)
    known, restored = tmp_path / "c", tmp_path / "folder"
    invoke("ledger", "checkpoint", left, "--genesis", genesis_file, "--out", known)
    invoke("ledger", "import", right, "--genesis", genesis_file, "--dir", restored)

    of_folder = invoke("ledger", "verify", restored, "--checkpoint", known)
    of_file = invoke("ledger", "verify", right, "--genesis", genesis_file, "--checkpoint", known)

    for result in (of_folder, of_file):
        assert result.exit_code == 1
        assert "height 3 field checkpoint rule P55: the ledger has other blocks" in result.output


def test_a_checkpoint_without_a_file_is_printed(made: Made, tmp_path: Path) -> None:
    printed = invoke("ledger", "checkpoint", made.member(0)).output
    (tmp_path / "c").write_text(printed, encoding="utf-8")

    result = invoke("ledger", "verify", made.member(0), "--checkpoint", tmp_path / "c")

    assert printed.splitlines()[1] == str(TRAINING_ROUNDS)
    assert result.exit_code == 0


def test_a_height_or_member_that_is_not_there_is_named(made: Made, tmp_path: Path) -> None:
    folder = made.member(0)
    with pytest.raises(ConfigError, match="expected a height from 1 to 3, got 9"):
        invoke("ledger", "checkpoint", folder, "--height", 9)
    with pytest.raises(ProofError, match="expected a height from 1 to 3, got 9"):
        invoke("ledger", "prove", folder, "--height", 9, "--member", 0, "--out", tmp_path / "p")
    with pytest.raises(ConfigError, match="got 'nobody'; they are 0 hospital-0, 1 hospital-1"):
        invoke(
            "ledger", "prove", folder, "--height", 1, "--member", "nobody", "--out", tmp_path / "p"
        )
    assert not (tmp_path / "p").exists()


def write_ledger(folder: Path, name: str, made: Chain) -> Path:
    file = BytesIO()
    write_export(file, made.blocks, made.certificate)
    (folder / name).write_bytes(file.getvalue())
    return folder / name


def forks(folder: Path, *, view: int) -> tuple[Path, Path, Path]:
    """Genesis and two ledgers that part after height 2, one decided in another view."""
    left = chain(3)
    right = empty_chain(left.contract, left.keys)
    for _ in range(2):
        right.add(right.build())
    right.add(right.build(outliers=(1,)), signing=(1, 2, 3), view=view)
    save_genesis(folder / "g", genesis(left.contract, left.keys))
    return folder / "g", write_ledger(folder, "a", left), write_ledger(folder, "b", right)


def test_forensics_names_who_signed_both_sides_of_a_fork(tmp_path: Path) -> None:
    genesis_file, left, right = forks(tmp_path, view=0)

    data = json_of("ledger", "forensics", left, right, "--genesis", genesis_file)
    result = invoke("ledger", "forensics", left, right, "--genesis", genesis_file)

    assert (data["is_fork"], data["height"], data["is_conclusive"]) == (True, 3, True)
    assert [each["name"] for each in data["signed_both"]] == [f"hospital-{i}" for i in (1, 2, 3)]
    assert data["is_a_third"]
    assert 3 * data["power"] >= data["total_power"]
    assert result.exit_code == 1
    assert "FORK at height 3" in result.output
    assert "These signatures alone prove it." in result.output


def test_forensics_says_what_certificates_of_two_views_cannot_show(tmp_path: Path) -> None:
    genesis_file, left, right = forks(tmp_path, view=2)

    result = invoke("ledger", "forensics", left, right, "--genesis", genesis_file)

    assert result.exit_code == 1
    assert "only the PREPARE certificates of the views between name them" in result.output
    assert "alone prove it" not in result.output


def test_forensics_finds_no_fork_in_a_prefix(made: Made, tmp_path: Path) -> None:
    invoke("ledger", "export", made.member(0), "--through", 2, "--out", tmp_path / "x")
    arguments = ("ledger", "forensics", tmp_path / "x", made.member(1))

    result = invoke(*arguments, "--genesis", made.genesis_file)

    assert result.exit_code == 0
    assert result.output == "no fork: equal up to height 2, where one of them ends\n"
    same = invoke(
        "ledger", "forensics", made.member(0), made.member(1), "--genesis", made.genesis_file
    )
    assert same.output == "no fork: equal up to height 3, where both end\n"
    assert json_of(*arguments, "--genesis", made.genesis_file) == {
        "is_fork": False,
        "left_height": 2,
        "right_height": 3,
    }


def test_forensics_draws_no_conclusion_from_a_ledger_that_does_not_hold(tmp_path: Path) -> None:
    genesis_file, left, right = forks(tmp_path, view=0)
    data = bytearray(right.read_bytes())
    data[-1] ^= 1
    right.write_bytes(data)

    with pytest.raises(ConfigError, match=r"expected a ledger that holds at .*, got 1 findings"):
        invoke("ledger", "forensics", left, right, "--genesis", genesis_file)


def test_nothing_is_proven_from_a_ledger_that_does_not_hold(made: Made, tmp_path: Path) -> None:
    with Ledger.open(made.member(0), read_only=True) as ledger:
        blocks = list(ledger.blocks(1, ledger.head))
        certificate = ledger.certificate_at(ledger.head)
    results = blocks[0].header.results
    heavier = tuple(replace(each, weight=each.weight + 1) for each in results.contributions)
    header = replace(blocks[0].header, results=replace(results, contributions=heavier))
    blocks[0] = replace(blocks[0], header=header)
    file = tmp_path / "x"
    file.write_bytes(b"".join(map(encode, (*blocks, certificate))))

    for command in (("checkpoint",), ("prove", "--height", 1, "--member", 0)):
        with pytest.raises(ConfigError, match="expected a ledger that holds"):
            invoke(
                "ledger", command[0], file, *command[1:], "--genesis", made.genesis_file,
                "--out", tmp_path / "out",
            )  # fmt: skip
    with pytest.raises(ConfigError, match="expected --genesis for an exported file"):
        invoke("ledger", "checkpoint", file)
