"""The commands that look at a ledger, on one that four members made in this process."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from fednode.errors import ConfigError
from ledger.encoding import encode
from ledger.errors import DecodeError
from ledger.state import initial_state
from ledger.store import DATABASE_NAME, Ledger
from tests.fednode.cli.support import SITES, TRAINING_ROUNDS, Made, invoke, json_of
from tests.fednode.founding.support import found


def export(made: Made, out: Path, through: int | None = None, member: int = 0) -> Path:
    limit = () if through is None else ("--through", through)
    result = invoke("ledger", "export", made.member(member), "--out", out, *limit)
    assert result.exit_code == 0
    return out


def test_log_lists_every_block(made: Made) -> None:
    blocks = json_of("ledger", "log", made.member(0))
    lines = invoke("ledger", "log", made.member(0)).output.splitlines()

    assert [block["height"] for block in blocks] == list(range(1, TRAINING_ROUNDS + 1))
    assert len(lines) == 1 + TRAINING_ROUNDS
    assert blocks[0]["base_model_id"] == made.genesis.contract.model.initial_model_id.hex()
    for block, following in pairwise(blocks):
        assert following["parent_id"] == block["block_id"]
        assert following["base_model_id"] == block["model_id"]


def test_log_shows_the_last_blocks_on_request(made: Made) -> None:
    blocks = json_of("ledger", "log", made.member(0), "--last", 2)

    assert [block["height"] for block in blocks] == [TRAINING_ROUNDS - 1, TRAINING_ROUNDS]


def test_show_names_contributions_and_signers(made: Made) -> None:
    block = json_of("ledger", "show", made.member(1), 2)
    text = invoke("ledger", "show", made.member(1), 2).output

    certificate = block["certificate"]
    assert block["height"] == 2
    assert {each["name"] for each in block["contributions"]} <= {f"hospital-{i}" for i in range(4)}
    assert 3 * sum(certificate["powers"]) > 2 * certificate["total_power"]
    assert len(certificate["signers"]) == certificate["signatures"] >= 3
    assert certificate["signers"][0] in text


def test_show_counts_powers_as_they_were_at_that_height(made: Made) -> None:
    with Ledger.open(made.member(0), read_only=True) as ledger:
        at_the_tip = ledger.state.previous_validators
    at_first = initial_state(made.genesis.contract).validators

    certificate = json_of("ledger", "show", made.member(0), TRAINING_ROUNDS)["certificate"]
    first = json_of("ledger", "show", made.member(0), 1)["certificate"]

    assert at_the_tip.total != at_first.total
    assert certificate["total_power"] == at_the_tip.total
    assert first["total_power"] == at_first.total


def test_file_shows_the_same_as_the_folder_when_the_genesis_is_named(
    made: Made, tmp_path: Path
) -> None:
    file = export(made, tmp_path / "x.fed")

    with_genesis = json_of("ledger", "show", file, 2, "--genesis", made.genesis_file)
    without = json_of("ledger", "show", file, 2)

    assert with_genesis == json_of("ledger", "show", made.member(0), 2)
    assert without["certificate"]["signers"] is None
    assert without["proposer_name"] == f"member {without['proposer']}"


@pytest.mark.parametrize("height", [TRAINING_ROUNDS + 1, -1])
def test_show_refuses_a_height_that_is_not_there(made: Made, height: int) -> None:
    with pytest.raises(ConfigError, match=f"expected a height from 1 to 3, .* got {height}"):
        invoke("ledger", "show", made.member(0), "--", height)


def test_exports_of_all_members_are_equal_below_the_tip(made: Made, tmp_path: Path) -> None:
    files = [
        export(made, tmp_path / f"{number}.fed", TRAINING_ROUNDS - 1, number)
        for number in range(SITES)
    ]

    assert len({file.read_bytes() for file in files}) == 1


def test_export_beyond_the_tip_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a height from 1 to 3, .*, got 4; name"):
        export(made, tmp_path / "x.fed", TRAINING_ROUNDS + 1)


@pytest.mark.parametrize("through", [1, TRAINING_ROUNDS])
def test_verify_accepts_folder_and_file(made: Made, tmp_path: Path, through: int) -> None:
    file = export(made, tmp_path / "x.fed", through)

    of_folder = invoke("ledger", "verify", made.member(2))
    of_file = invoke("ledger", "verify", file, "--genesis", made.genesis_file)

    assert (of_folder.exit_code, of_file.exit_code) == (0, 0)
    assert of_file.output.splitlines()[-1] == "every check holds"


def test_verify_finds_a_changed_byte(made: Made, tmp_path: Path) -> None:
    file = export(made, tmp_path / "x.fed")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))

    result = invoke("ledger", "verify", file, "--genesis", made.genesis_file)

    assert result.exit_code == 1
    assert "NOT VALID" in result.output


def test_verify_finds_that_a_ledger_is_of_another_network(made: Made, tmp_path: Path) -> None:
    other = found(tmp_path, ("a", "b", "c", "d")).members[0].config.node.genesis_file

    result = invoke("ledger", "verify", made.member(0), "--genesis", other, "--json")

    assert result.exit_code == 1
    assert not json.loads(result.output)["holds"]


def test_verify_reports_a_damaged_folder_as_a_finding(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.member(0), tmp_path / "copy")
    path = tmp_path / "copy" / DATABASE_NAME
    path.write_bytes(path.read_bytes()[:5000])

    result = invoke("ledger", "verify", tmp_path / "copy")

    assert result.exit_code == 1
    assert "NOT VALID: the ledger cannot be read" in result.output
    assert json.loads(invoke("ledger", "verify", tmp_path / "copy", "--json").output)["findings"]


def test_verify_needs_a_genesis_for_a_file(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected --genesis for an exported file, got none"):
        invoke("ledger", "verify", export(made, tmp_path / "x.fed"))


def test_verify_names_a_model_that_no_block_made(made: Made, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    invoke("model", "export", made.member(0), "--out", model)
    good = invoke("ledger", "verify", made.member(1), "--model", model)
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(bytes(data))

    bad = invoke("ledger", "verify", made.member(1), "--model", model)

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "field model.values" in bad.output


def test_file_that_is_no_export_is_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "x.fed").write_bytes(encode(made.genesis))

    with pytest.raises(DecodeError, match="expected a block"):
        invoke("ledger", "log", tmp_path / "x.fed")


def test_status_tells_what_the_ledger_holds_without_a_running_node(made: Made) -> None:
    data = json_of("status", made.member(0))
    text = invoke("status", made.member(0)).output

    assert data["is_finished"]
    assert not data["is_running"]
    assert data["certified_height"] == TRAINING_ROUNDS
    assert data["live"] is None
    assert max(each["last_included_height"] for each in data["members"]) == TRAINING_ROUNDS
    assert "never started here" in text


def test_ledger_without_blocks_holds_but_is_not_exported(made: Made, tmp_path: Path) -> None:
    Ledger.create(tmp_path / "new", made.genesis).close()

    result = invoke("ledger", "verify", tmp_path / "new")

    assert result.exit_code == 0
    assert invoke("ledger", "log", tmp_path / "new", "--json").output == "[]\n"
    with pytest.raises(ConfigError, match="or wait for a block"):
        invoke("ledger", "export", tmp_path / "new", "--out", tmp_path / "x.fed")


def test_folder_without_a_ledger_is_named(tmp_path: Path) -> None:
    member = found(tmp_path).members[0]

    with pytest.raises(ConfigError, match="got none; it is made by the first 'fednode run'"):
        invoke("ledger", "log", member.folder)
    with pytest.raises(ConfigError, match=r"got neither node\.toml nor ledger\.db"):
        invoke("ledger", "log", tmp_path / "nothing")
