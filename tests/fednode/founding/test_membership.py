"""Signing, the sealed network key, and what a node checks before it starts (rules P1 and P90)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.config import NodeConfig
from fednode.errors import ConfigError
from fednode.founding.consent import merge_signatures, missing_signatures, sign_contract
from fednode.founding.genesis_files import load_genesis, save_genesis, save_new
from fednode.founding.membership import open_membership
from fednode.founding.network_key import open_network_key, seal_network_key
from fednode.learning.errors import DataError
from ledger.genesis import Genesis
from tests.fednode.founding.support import (
    NETWORK_KEY,
    Network,
    found,
    key_of,
    with_signatures,
    write_rows,
)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return found(tmp_path)


def test_member_finds_its_number_its_keys_and_the_contract(network: Network) -> None:
    membership = open_membership(network.members[2].config)

    assert membership.member == 2
    assert membership.key.public_key == key_of("c").public_key
    assert membership.genesis == network.genesis
    assert membership.network_key.key == NETWORK_KEY


def test_secrets_do_not_show_in_a_membership(network: Network) -> None:
    shown = repr(open_membership(network.members[0].config))

    assert NETWORK_KEY.hex() not in shown
    assert repr(NETWORK_KEY) not in shown
    assert "SecretKey" not in shown


def test_signing_twice_changes_nothing(network: Network) -> None:
    assert sign_contract(network.genesis, key_of("b").signing) == network.genesis


def test_stranger_cannot_sign(network: Network) -> None:
    with pytest.raises(ConfigError, match="expected the key of a member of 'test'"):
        sign_contract(network.genesis, key_of("stranger").signing)


def test_copies_signed_in_parallel_are_merged_in_member_order(network: Network) -> None:
    none = with_signatures(network.genesis, ())
    copies = [with_signatures(network.genesis, each) for each in ((3,), (0, 2), (1,))]

    assert merge_signatures(none, copies) == network.genesis


def test_copy_with_a_forged_signature_is_refused(network: Network) -> None:
    first, *others = network.genesis.signatures
    forged = replace(network.genesis, signatures=(replace(first, member=1), *others))

    with pytest.raises(ConfigError, match="expected the signature of member 1, got one that"):
        merge_signatures(network.genesis, [forged])


def test_copy_of_another_contract_is_refused(network: Network) -> None:
    contract = replace(network.contract, training_rounds=11)

    with pytest.raises(ConfigError, match="compare them with 'fednode genesis diff'"):
        merge_signatures(network.genesis, [Genesis(contract=contract, signatures=())])


def test_missing_signatures_are_named(network: Network) -> None:
    genesis = with_signatures(network.genesis, (0, 3))

    assert missing_signatures(genesis) == ("b", "c")


def test_signature_of_another_contract_is_missing(network: Network) -> None:
    contract = replace(network.contract, training_rounds=11)

    assert missing_signatures(replace(network.genesis, contract=contract)) == ("a", "b", "c", "d")


def test_network_key_opens_for_members_only(network: Network) -> None:
    sealed = seal_network_key(network.contract, NETWORK_KEY)

    assert open_network_key(sealed, key_of("d"), network.contract) == NETWORK_KEY
    assert NETWORK_KEY not in sealed
    with pytest.raises(ConfigError, match="got none that its secret key opens"):
        open_network_key(sealed, key_of("stranger"), network.contract)


def test_network_key_of_another_chain_is_refused(network: Network) -> None:
    other = replace(network.contract, training_rounds=11)
    sealed = seal_network_key(other, NETWORK_KEY)

    with pytest.raises(ConfigError, match="expected the network key of chain"):
        open_network_key(sealed, key_of("a"), network.contract)


@pytest.mark.parametrize("position", [0, 10, 60, -1])
def test_damaged_network_key_is_refused(network: Network, position: int) -> None:
    alone = replace(network.contract, members=network.contract.members[:1])
    sealed = bytearray(seal_network_key(alone, NETWORK_KEY))
    sealed[position] ^= 1

    with pytest.raises(ConfigError, match="expected"):
        open_network_key(bytes(sealed), key_of("a"), alone)


def test_genesis_without_all_signatures_is_refused(network: Network) -> None:
    config = network.members[0].config
    save_genesis(config.node.genesis_file, with_signatures(network.genesis, (0, 1)))

    with pytest.raises(ConfigError, match="signed by all members, got none of c, d; collect"):
        open_membership(config)


def with_terms(config: NodeConfig) -> NodeConfig:
    return config.model_copy(update={"terms": {"training_rounds": 11, "training.pace": "slow"}})


def with_name(config: NodeConfig) -> NodeConfig:
    return config.model_copy(update={"node": config.node.model_copy(update={"name": "z"})})


def with_label_rule(config: NodeConfig) -> NodeConfig:
    assert config.data is not None
    return config.model_copy(update={"data": config.data.model_copy(update={"positive": "== 1"})})


def with_more_rows(config: NodeConfig) -> NodeConfig:
    assert config.data is not None
    write_rows(Path(config.data.source), rows=14)
    return config


def with_one_more_column(config: NodeConfig) -> NodeConfig:
    assert config.data is not None
    lines = Path(config.data.source).read_text(encoding="utf-8").splitlines()
    lines = [f"{number or 'height'},{line}" for number, line in enumerate(lines)]
    Path(config.data.source).write_text("\n".join(lines), encoding="utf-8")
    return config


def without_data(config: NodeConfig) -> NodeConfig:
    return config.model_copy(update={"data": None})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_terms, "training_rounds: here 11, in the contract 10"),
        (with_terms, r"training\.pace: here 'slow', in the contract nothing"),
        (with_name, r"members\.0\.name: here 'z', in the contract 'a'"),
        (with_label_rule, r"data\.positive: here '== 1', in the contract ''"),
        (with_more_rows, r"members\.0\.samples: here 14, in the contract 12"),
        (with_one_more_column, r"data\.features: here 'height', in the contract nothing"),
        (without_data, r"members\.0\.samples: here 0, in the contract 12"),
    ],
)
def test_node_refuses_a_contract_that_is_not_its_own_and_says_where(
    network: Network, change: Callable[[NodeConfig], NodeConfig], expected: str
) -> None:
    config = change(network.members[0].config)

    with pytest.raises(ConfigError, match=expected):
        open_membership(config)


def test_node_refuses_rows_that_lack_a_feature(network: Network) -> None:
    config = network.members[0].config
    assert config.data is not None
    data = config.data.model_copy(update={"drop_columns": ("dose",)})

    with pytest.raises(DataError, match="feature 'dose' is not in the data"):
        open_membership(config.model_copy(update={"data": data}))


@pytest.mark.parametrize("content", [b"", b"\x93\x01", b"not a genesis", b"\xc1" * 100])
def test_file_that_is_no_genesis_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "g.fed").write_bytes(content)

    with pytest.raises(ConfigError, match="expected a genesis, got"):
        load_genesis(tmp_path / "g.fed")


def test_public_files_are_not_overwritten(tmp_path: Path) -> None:
    save_new(tmp_path / "x", b"1")

    with pytest.raises(ConfigError, match="expected no file at"):
        save_new(tmp_path / "x", b"2")
    assert (tmp_path / "x").read_bytes() == b"1"
