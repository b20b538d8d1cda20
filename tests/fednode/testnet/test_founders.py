"""A test network is founded like a real one, and no row is where it does not belong."""

from dataclasses import replace
from pathlib import Path

import pytest

from fednode.config import BrokerSection, load_config
from fednode.errors import ConfigError
from fednode.founding.contracts import ContractOptions
from fednode.founding.membership import open_membership
from fednode.learning.data_spec import DataSpec
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.founders import UNKNOWN_BROKER, found_network, point_to_broker
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.genesis import Genesis
from ledger.genesis_rules import check_genesis


def lines(*paths: Path) -> list[str]:
    return [line for path in paths for line in path.read_text().splitlines()[1:]]


def plan_for(source: Path, sites: int = 4) -> NetworkPlan:
    return NetworkPlan(
        data=DataSpec(
            source=str(source), label="ill", split="iid", sites=sites, test_fraction=0.25
        ),
        options=ContractOptions(name="trial", timeouts=LOCAL_TIMEOUTS),
        names=tuple(f"site {number}" for number in range(sites)),
        attackers=("sign-flip:5@1",),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cohort.csv"
    rows = [f"{number / 7!r},{number * number},{number % 2}" for number in range(80)]
    path.write_text("\n".join(["age,dose,ill", *rows]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    (tmp_path / "network").mkdir()
    return NetworkFolder(root=tmp_path / "network")


@pytest.fixture
def genesis(source: Path, folder: NetworkFolder) -> Genesis:
    return found_network(folder, plan_for(source), UNKNOWN_BROKER)


def test_every_member_can_start_with_what_is_in_its_folder(
    genesis: Genesis, folder: NetworkFolder
) -> None:
    check_genesis(genesis)

    members = [
        open_membership(load_config(folder.config(member.name)))
        for member in genesis.contract.members
    ]

    assert [each.member for each in members] == [0, 1, 2, 3]
    assert len({each.network_key.key for each in members}) == 1
    assert len({each.key.public_key for each in members}) == 4


def test_every_row_is_at_one_site_or_held_out(genesis: Genesis, folder: NetworkFolder) -> None:
    sites = [lines(folder.rows(member.name)) for member in genesis.contract.members]

    test = lines(folder.test_rows)

    everything = [row for site in sites for row in site] + test
    assert len(test) == 20
    assert len(everything) == len(set(everything)) == 80
    assert [member.samples for member in genesis.contract.members] == [len(s) for s in sites]


def test_members_folder_names_no_file_outside_it(genesis: Genesis, folder: NetworkFolder) -> None:
    for member in genesis.contract.members:
        text = folder.config(member.name).read_text()

        assert str(folder.root) not in text


def test_only_the_attacker_is_told_to_lie(genesis: Genesis, folder: NetworkFolder) -> None:
    attacks = [
        load_config(folder.config(member.name)).test.attack for member in genesis.contract.members
    ]

    assert attacks == ["", "sign-flip:5", "", ""]


def test_pointing_to_a_broker_changes_nothing_else(genesis: Genesis, folder: NetworkFolder) -> None:
    before = [load_config(folder.config(each.name)) for each in genesis.contract.members]

    point_to_broker(folder, genesis.contract, BrokerSection(url="mqtt://127.0.0.1:9"))

    after = [load_config(folder.config(each.name)) for each in genesis.contract.members]
    assert {config.broker.url for config in after} == {"mqtt://127.0.0.1:9"}
    assert [config.model_copy(update={"broker": UNKNOWN_BROKER}) for config in after] == before


def test_members_are_the_sites_of_the_site_column(tmp_path: Path, folder: NetworkFolder) -> None:
    path = tmp_path / "sites.csv"
    rows = [f"{number},{'ABC'[number % 3]},{number // 3 % 2}" for number in range(60)]
    path.write_text("\n".join(["age,clinic,ill", *rows]) + "\n")
    plan = replace(
        plan_for(path),
        data=DataSpec(source=str(path), label="ill", site_column="clinic", test_fraction=0.2),
        names=(),
    )

    genesis = found_network(folder, plan, UNKNOWN_BROKER)

    assert [member.name for member in genesis.contract.members] == ["A", "B", "C"]
    assert [feature.name for feature in genesis.contract.data.features] == ["age"]


def test_another_number_of_nodes_than_sites_is_refused(
    tmp_path: Path, folder: NetworkFolder
) -> None:
    path = tmp_path / "sites.csv"
    path.write_text("age,clinic,ill\n1,A,0\n2,A,1\n3,B,0\n4,B,1\n")
    data = DataSpec(source=str(path), label="ill", site_column="clinic", sites=3)

    with pytest.raises(ConfigError, match=r"expected 3 sites in .*, got 2: A, B"):
        found_network(folder, replace(plan_for(path), data=data, names=()), UNKNOWN_BROKER)
