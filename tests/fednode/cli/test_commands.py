"""The commands on a made-up network: what they print and with which exit code they end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from fednode.cli import app
from fednode.cli.output import print_table, printable
from fednode.errors import ConfigError
from fednode.founding.genesis_files import load_genesis, save_genesis
from tests.fednode.cli.support import invoke
from tests.fednode.founding.support import Network, found, key_of, make_members, with_signatures


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return found(tmp_path)


def all_commands(group: typer.Typer, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    command = typer.main.get_command(group)
    found_commands: list[tuple[str, ...]] = []
    pending = [(words, command)]
    while pending:
        path, each = pending.pop()
        children = getattr(each, "commands", {})
        pending += [((*path, name), child) for name, child in children.items()]
        if not children:
            found_commands.append(path)
    return sorted(found_commands)


@pytest.mark.parametrize("words", all_commands(app), ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    result = invoke(*words, "--help")

    assert result.exit_code == 0
    assert f"Example: fednode {' '.join(words)}" in " ".join(result.output.split())


def test_help_loads_neither_numpy_nor_pydantic() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from fednode.cli import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "print([m for m in ('numpy', 'pydantic', 'nacl', 'aiomqtt') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_init_makes_key_settings_and_card(tmp_path: Path) -> None:
    make_members(tmp_path, ("a",))  # writes the rows
    result = invoke(
        "init", tmp_path / "new", "--name", "N", "--broker", "mqtt://h",
        "--data", tmp_path / "a.csv", "--label", "sick", "--drop", "dose",
    )  # fmt: skip

    assert result.exit_code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "member.key", "node.toml", "n.card",
    }  # fmt: skip
    assert "trainer, validator" in result.output


def test_init_without_data_makes_a_validator(tmp_path: Path) -> None:
    result = invoke("init", tmp_path / "board", "--name", "Board", "--broker", "mqtt://h")

    assert result.exit_code == 0
    assert "[data]" not in (tmp_path / "board" / "node.toml").read_text(encoding="utf-8")


def test_founding_by_commands_gives_a_network_that_opens(tmp_path: Path) -> None:
    members = make_members(tmp_path, ("a", "b", "c"))
    genesis = tmp_path / "genesis.fed"
    created = invoke(
        "genesis", "create", *(member.card_path for member in members), "--name", "three",
        "--out", genesis, "--training-rounds", 4, "--model", "mlp",
    )  # fmt: skip
    copies = [tmp_path / f"{member.card.name}.fed" for member in members]
    for member, copy in zip(members, copies, strict=True):
        copy.write_bytes(genesis.read_bytes())
        signed = invoke("genesis", "sign", copy, "--config", member.config_path)
        assert signed.exit_code == 0
    merged = invoke("genesis", "sign", genesis, *(w for copy in copies for w in ("--merge", copy)))

    assert "No validator may be silent" in created.output
    assert "add a validator without data" in created.output
    alone = invoke("genesis", "sign", copies[0], "--merge", copies[0])
    assert alone.output == "signatures missing: b, c\n"
    assert merged.output.endswith("signatures missing: none\n")
    assert load_genesis(genesis).contract.training_rounds == 4


def test_genesis_is_not_made_without_its_network_key(tmp_path: Path) -> None:
    card = make_members(tmp_path, ("a",))[0].card_path
    (tmp_path / "network-key.sealed").write_bytes(b"in use")
    out = tmp_path / "genesis.fed"

    with pytest.raises(ConfigError, match=r"expected no file at .*network-key\.sealed, got one"):
        invoke("genesis", "create", card, "--name", "x", "--out", out)
    assert not out.exists()


def test_sign_refuses_terms_that_differ_and_leaves_the_file(network: Network) -> None:
    member = network.members[0]
    path = member.config.node.genesis_file
    save_genesis(path, with_signatures(network.genesis, ()))
    text = member.config_path.read_text(encoding="utf-8")
    member.config_path.write_text(text + "training_rounds = 11\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="training_rounds: here 11, in the contract 10"):
        invoke("genesis", "sign", path, "--config", member.config_path)
    assert load_genesis(path).signatures == ()


def test_sign_needs_something_to_do(network: Network) -> None:
    result = invoke("genesis", "sign", network.members[0].config.node.genesis_file)

    assert result.exit_code == 2
    assert "--config to sign" in result.output


def test_sign_shows_the_id_of_the_network_key(network: Network) -> None:
    member = network.members[1]

    result = invoke(
        "genesis", "sign", member.config.node.genesis_file, "--config", member.config_path
    )

    assert "network key id " in result.output
    assert "signed as b" in result.output


def test_show_prints_terms_tolerance_and_signatures(network: Network) -> None:
    path = network.members[0].config.node.genesis_file
    save_genesis(path, with_signatures(network.genesis, (0, 1, 2)))

    shown = invoke("genesis", "show", path)
    data = json.loads(invoke("genesis", "show", path, "--json").output)

    assert "1 validator may be silent" in shown.output
    assert [line.split()[-1] for line in shown.output.splitlines() if "validator" in line][:4] == [
        "yes", "yes", "yes", "no",
    ]  # fmt: skip
    assert data["signatures_missing"] == ["d"]
    assert data["terms"]["members.3.public_key"] == key_of("d").public_key.hex()
    assert data["fault_tolerance"]["lying_trainers"] == 1


def test_diff_tells_equal_from_different_by_its_exit_code(network: Network, tmp_path: Path) -> None:
    other = found(tmp_path / "other", ("a", "b", "c")).members[0].config.node.genesis_file
    own = network.members[0].config.node.genesis_file

    same = invoke("genesis", "diff", own, own)
    different = invoke("genesis", "diff", own, other)
    data = json.loads(invoke("genesis", "diff", own, other, "--json").output)

    assert (same.exit_code, same.output) == (0, "the contracts are equal\n")
    assert different.exit_code == 1
    assert {"term": "byzantine_budget", "left": 1, "right": 0} in data


def test_tables_are_plain_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "long name"), [(1, "x"), ("two", "y")], title="T")

    assert capsys.readouterr().out == "T\na    long name\n1    x\ntwo  y\n"


def test_names_cannot_forge_lines_or_colours() -> None:
    assert printable("a\nb\x1b[31mc\u202e") == "a?b?[31mc?"
