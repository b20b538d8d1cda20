"""A network whose members bring their learner, or a model: files, hashes, refusals (rule P1)."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fednode.config import INITIAL_MODEL_NAME
from fednode.errors import ConfigError
from fednode.founding.contracts import ContractOptions
from fednode.founding.initial_model import (
    founders_model_file,
    initial_model_body,
    is_from_seed,
)
from fednode.founding.membership import open_membership, own_code
from fednode.learning.errors import SettingsError
from ledger.bodies import body_id, decode_model_body, encode_model_body
from ledger.model_file import decode_model_file, encode_model_file
from tests.fednode.founding.support import Network, found
from tests.support.user_learner import MODEL, NAME, SOURCE, write_learner

NO_FILE = Path("no file")


@pytest.fixture
def options(tmp_path: Path) -> ContractOptions:
    return ContractOptions(name="own", model=MODEL, learner_file=write_learner(tmp_path).file)


@pytest.fixture
def network(tmp_path: Path, options: ContractOptions) -> Network:
    made = found(tmp_path / "members", ("a", "b"), options)
    for member in made.members:
        write_learner(member.folder)
    return made


def test_contract_names_file_and_hash_and_members_find_it_beside_the_genesis(
    network: Network,
) -> None:
    contract = network.contract

    assert contract.model.architecture == MODEL
    assert contract.training.learner_hash == sha256(SOURCE.encode()).digest()
    for member in network.members:
        assert open_membership(member.config).genesis == network.genesis
        assert own_code(member.config, contract).file == member.folder / NAME


def test_member_with_another_file_is_refused_in_one_sentence(network: Network) -> None:
    file = network.members[1].folder / NAME
    file.write_text(SOURCE + "\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"my_learner\.py to be the learner of the") as caught:
        open_membership(network.members[1].config)

    assert "\n" not in str(caught.value)
    assert sha256(SOURCE.encode()).hexdigest() in str(caught.value)


def test_member_names_the_file_in_its_configuration(tmp_path: Path, network: Network) -> None:
    config = network.members[0].config
    (network.members[0].folder / NAME).rename(tmp_path / "elsewhere.py")
    moved = config.node.model_copy(update={"learner_file": tmp_path / "elsewhere.py"})

    with pytest.raises(SettingsError, match="No such file"):
        open_membership(config)
    open_membership(config.model_copy(update={"node": moved}))


def test_initial_model_of_an_own_learner_comes_as_a_file(
    tmp_path: Path, network: Network, options: ContractOptions
) -> None:
    """The node runs no user's code, not even at its start."""
    file = founders_model_file(network.contract, options.start, None)
    assert file is not None
    (tmp_path / INITIAL_MODEL_NAME).write_bytes(file)

    body = initial_model_body(network.contract, tmp_path / INITIAL_MODEL_NAME)

    assert body_id(body) == network.contract.model.initial_model_id
    assert not is_from_seed(network.contract)
    with pytest.raises(ConfigError, match="the initial model"):
        initial_model_body(network.contract, NO_FILE)


def test_learner_that_starts_differently_each_time_is_refused(tmp_path: Path) -> None:
    code = write_learner(tmp_path, SOURCE.replace("rng.normal", "np.random.default_rng().normal"))
    options = ContractOptions(name="own", model=MODEL, learner_file=code.file)
    contract = found(tmp_path / "members", ("a",), options).contract

    with pytest.raises(ConfigError, match="to start with the same parameters whenever it is asked"):
        founders_model_file(contract, options.start, None)


def test_training_continues_from_a_given_model_file(tmp_path: Path) -> None:
    plain = found(tmp_path / "plain", ("a", "b")).contract
    tensors = plain.model.tensors
    values = decode_model_body(initial_model_body(plain, NO_FILE), tensors)
    given = tmp_path / INITIAL_MODEL_NAME
    ones = b"\x01\x00\x00\x00" * (len(values) // 4)
    given.write_bytes(encode_model_file(tensors, ones, {}))
    options = ContractOptions(name="given", initial_model=given)

    contract = found(tmp_path / "given", ("a", "b"), options).contract

    assert contract.model.initial_model_id == decode_model_file(given.read_bytes()).model_id
    assert founders_model_file(contract, options.start, None) == given.read_bytes()
    assert initial_model_body(contract, given) == encode_model_body(tensors, ones)
    assert not is_from_seed(contract)
    assert is_from_seed(plain)
    with pytest.raises(ConfigError, match="or put the initial model that they made into no file"):
        initial_model_body(contract, NO_FILE)


def test_model_file_of_another_model_is_refused(tmp_path: Path) -> None:
    plain = found(tmp_path / "plain", ("a",)).contract
    values = decode_model_body(initial_model_body(plain, NO_FILE), plain.model.tensors)
    given = tmp_path / INITIAL_MODEL_NAME
    given.write_bytes(encode_model_file(plain.model.tensors, values, {}))
    options = ContractOptions(name="given", model="mlp", initial_model=given)

    with pytest.raises(ConfigError, match=r"tensors of 'mlp', matrix0 \[2, 64\].*got matrix0 \[2"):
        found(tmp_path / "given", ("a",), replace(options))
