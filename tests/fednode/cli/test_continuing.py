"""Commands for those who are left when too many members of a network are gone (rule P1)."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from fednode.config import INITIAL_MODEL_NAME
from fednode.errors import ConfigError
from fednode.founding.genesis_files import load_genesis
from fednode.founding.initial_model import initial_model_body
from ledger.bodies import body_id
from ledger.genesis import Contract, chain_id
from ledger.store import Ledger
from tests.fednode.cli.support import TRAINING_ROUNDS, Made, invoke, json_of
from tests.fednode.founding.support import make_members


@dataclass(frozen=True)
class Next:
    """A network founded by two, from the ledger of one of them."""

    folder: Path

    @property
    def genesis_file(self) -> Path:
        return self.folder / "genesis.fed"

    @property
    def model_file(self) -> Path:
        return self.folder / INITIAL_MODEL_NAME

    @property
    def contract(self) -> Contract:
        return load_genesis(self.genesis_file).contract


def create(folder: Path, *options: object) -> Next:
    cards = [member.card_path for member in make_members(folder, ("a", "b"))]
    invoke("genesis", "create", *cards, "--name", "next", "--out", folder / "genesis.fed", *options)
    return Next(folder)


@pytest.fixture
def following(made: Made, tmp_path: Path) -> Next:
    return create(tmp_path / "next", "--continues", made.member(1))


@pytest.fixture
def export(made: Made, tmp_path: Path) -> Path:
    invoke("ledger", "export", made.member(2), "--out", tmp_path / "old.fed")
    return tmp_path / "old.fed"


@pytest.fixture
def model(made: Made, tmp_path: Path) -> Path:
    invoke("model", "export", made.member(2), "--out", tmp_path / "old.safetensors")
    return tmp_path / "old.safetensors"


def test_a_contract_names_the_last_block_and_keeps_model_and_preprocessing(
    made: Made, following: Next
) -> None:
    contract, earlier = following.contract, made.genesis.contract

    with Ledger.open(made.member(1), read_only=True) as ledger:
        state = ledger.state
    (named,) = contract.continues

    assert (named.chain_id, named.height) == (chain_id(earlier), TRAINING_ROUNDS)
    assert (named.block_id, named.model_id) == (state.tip_id, state.model_id)
    assert contract.data == earlier.data
    assert contract.model.tensors == earlier.model.tensors
    assert body_id(initial_model_body(contract, following.model_file)) == state.model_id
    shown = invoke("genesis", "show", following.genesis_file).output
    assert f"of chain {named.chain_id.hex()} after height {TRAINING_ROUNDS}" in shown


def test_an_exported_ledger_founds_the_same_with_genesis_and_model(
    made: Made, following: Next, export: Path, model: Path, tmp_path: Path
) -> None:
    source = ("--continues", export, "--continues-genesis", made.genesis_file)

    other = create(tmp_path / "other", *source, "--continues-model", model)

    assert other.contract == following.contract
    assert other.model_file.read_bytes() == following.model_file.read_bytes()
    with pytest.raises(ConfigError, match="expected --continues-model for an exported ledger"):
        create(tmp_path / "third", *source)
    with pytest.raises(ConfigError, match="expected --genesis for an exported file"):
        create(tmp_path / "fourth", "--continues", export, "--continues-model", model)


def test_a_model_that_the_earlier_network_did_not_end_with_is_refused(
    made: Made, tmp_path: Path
) -> None:
    first = tmp_path / "1.safetensors"
    invoke("model", "export", made.member(1), "--height", 1, "--out", first)

    with pytest.raises(ConfigError, match="expected the model with which the earlier network"):
        create(tmp_path / "n", "--continues", made.member(1), "--continues-model", first)
    with pytest.raises(ConfigError, match="leave --model out"):
        create(tmp_path / "m", "--continues", made.member(1), "--model", "mlp")


def test_other_columns_than_those_of_the_earlier_network_are_refused(
    made: Made, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("age,weight,sick\n" + "1,2,0\n2,1,1\n" * 6, encoding="utf-8")
    invoke(
        "init", tmp_path / "x", "--name", "x", "--data", rows, "--label", "sick",
        "--broker", "mqtt://127.0.0.1:1",
    )  # fmt: skip

    with pytest.raises(ConfigError, match="columns of the earlier network"):
        invoke(
            "genesis", "create", tmp_path / "x" / "x.card", "--name", "n",
            "--out", tmp_path / "genesis.fed", "--continues", made.member(1),
        )  # fmt: skip


def test_options_about_an_earlier_network_need_that_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected --continues with"):
        create(tmp_path / "n", "--continues-model", tmp_path)


def test_founders_sign_what_their_own_ledger_of_the_earlier_network_says(
    made: Made, following: Next, export: Path
) -> None:
    config = following.folder / "a" / "node.toml"
    sign = ("genesis", "sign", following.genesis_file, "--config", config)
    named = ("--continues", export, "--continues-genesis")

    with pytest.raises(ConfigError, match="expected --continues to sign"):
        invoke(*sign)
    with pytest.raises(ConfigError, match="expected a contract that continues the chain"):
        invoke(*sign, *named, following.genesis_file)
    signed = invoke(*sign, *named, made.genesis_file).output

    assert "signed as a" in signed
    assert "signatures missing: b" in signed


def test_a_node_starts_from_no_other_model_than_the_named_one(
    made: Made, following: Next, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    invoke("model", "export", made.member(1), "--height", 1, "--out", other)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(following.model_file.read_bytes()[:-1])

    for file, text in (
        (other, "expected the initial model .* copy the file that the founders made"),
        (damaged, "expected a file of 'fednode model export'"),
        (tmp_path / "none", "expected the initial model at"),
    ):
        with pytest.raises(ConfigError, match=text):
            initial_model_body(following.contract, file)


def test_an_audit_of_the_next_network_audits_the_earlier_one(
    made: Made, following: Next, export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ledger"
    with Ledger.create(folder, genesis=load_genesis(following.genesis_file)):
        pass
    verify = ("ledger", "verify", folder)
    short = tmp_path / "short.fed"
    invoke("ledger", "export", made.member(1), "--through", 2, "--out", short)
    broken = tmp_path / "broken.fed"
    broken.write_bytes(export.read_bytes()[:-1])

    def findings(*options: object) -> list[str]:
        found = json_of(*verify, *options)["findings"]
        return [each["field"] for each in found if "continues" in each["field"]]

    assert findings("--continues", made.member(3)) == []
    for file, field in ((short, "continues.height"), (broken, "continues")):
        source = ("--continues", file, "--continues-genesis", made.genesis_file)
        assert findings(*source) == [field]
    unsaid = "the earlier chain that the contract continues was not checked"
    assert unsaid in invoke(*verify).output
    assert unsaid not in invoke(*verify, "--continues", made.member(3)).output
