"""Found a local network: the steps that hospitals take, all on one computer.

Every member gets a folder with a key, a configuration and its own rows; all sign one contract; the
network key is sealed for each. Nothing is special about these folders: any of them can be carried
to another computer and run there.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from typing import Final

from fednode.config import BrokerSection, NodeConfig, load_config, write_config
from fednode.errors import ConfigError
from fednode.founding.consent import sign_contract
from fednode.founding.contracts import make_contract
from fednode.founding.initial_model import founders_model_file
from fednode.founding.keys import load_key_file
from fednode.founding.members import MemberFolder, create_member
from fednode.founding.network_key import seal_network_key
from fednode.learning.site_data import Site, load_sites
from fednode.testnet.folders import NetworkFolder, folder_name
from fednode.testnet.plan import NetworkPlan, attacks_by_member
from fednode.testnet.site_files import data_section, write_rows
from fednode.transport.settings import BrokerSettings, endpoint_of, password_of
from fednode.wire.envelope import KEY_BYTES
from ledger.encoding import encode
from ledger.genesis import Contract, Genesis
from ledger.keys import SEED_BYTES

UNKNOWN_BROKER: Final = BrokerSection(url="mqtt://127.0.0.1:1883")
"""Until the embedded broker has its port; then every configuration is pointed to it."""


def found_network(folder: NetworkFolder, plan: NetworkPlan, broker: BrokerSection) -> Genesis:
    """Make the folders of all members of a network, ready to run.

    Args:
        folder: An empty folder.
        plan: Members, data and terms.
        broker: How members reach the broker.

    Returns:
        The contract, signed by all members.

    Raises:
        ConfigError: If the plan is contradictory or a file cannot be written.
        ContractError: If the terms cannot hold.
        DataError: If the data cannot be read or divided as planned.
        SettingsError: If there is no such model or attack.
    """
    sites = _named_sites(plan)
    attacks = attacks_by_member(plan.attackers, len(sites))
    if sites[0].test is not None:
        write_rows(folder.test_rows, sites[0].test)
    members = tuple(_make_member(folder, site, broker, plan) for site in sites)
    contract = make_contract([member.card for member in members], plan.options)
    model_file = founders_model_file(contract, plan.options.start, None)
    genesis = Genesis(contract=contract, signatures=())
    for member in members:
        genesis = sign_contract(genesis, load_key_file(member.config.node.key_file).signing)
    folder.genesis.write_bytes(encode(genesis))
    folder.network_key.write_bytes(seal_network_key(contract, token_bytes(KEY_BYTES)))
    for number, member in enumerate(members):
        shutil.copyfile(folder.genesis, member.config.node.genesis_file)
        shutil.copyfile(folder.network_key, member.config.node.network_key_file)
        if model_file is not None:
            member.config.node.initial_model_file.write_bytes(model_file)
        if plan.options.learner_file is not None:
            shutil.copy(plan.options.learner_file, member.folder)
        if number in attacks:
            write_config(member.config_path, with_attack(member.config, attacks[number]))
    return genesis


def point_to_broker(folder: NetworkFolder, contract: Contract, broker: BrokerSection) -> None:
    """Let every member's configuration name this broker.

    Raises:
        ConfigError: If a configuration cannot be read.
    """
    for member in contract.members:
        path = folder.config(member.name)
        write_config(path, load_config(path).model_copy(update={"broker": broker}))


def with_attack(config: NodeConfig, attack: str) -> NodeConfig:
    """Return a configuration by which the node lies."""
    return config.model_copy(update={"test": config.test.model_copy(update={"attack": attack})})


def broker_section(settings: BrokerSettings) -> BrokerSection:
    """Return the broker as a configuration names it; a wrong URL or login file is found here.

    Raises:
        BrokerRefusedError: If the URL or a file is wrong.
    """
    endpoint_of(settings)
    password_of(settings)
    return BrokerSection(
        url=settings.url,
        username=settings.username,
        password_file=_absolute(settings.password_file),
        ca_file=_absolute(settings.ca_file),
    )


def _named_sites(plan: NetworkPlan) -> tuple[Site, ...]:
    sites = load_sites(plan.data)
    if plan.data.sites > 1 and len(sites) != plan.data.sites:
        raise ConfigError(
            f"expected {plan.data.sites} sites in {plan.data.source}, got {len(sites)}: "
            f"{', '.join(site.name for site in sites)}; leave out --nodes, or choose --split"
        )
    if plan.names:
        sites = tuple(
            replace(site, name=name) for site, name in zip(sites, plan.names, strict=True)
        )
    folders = [folder_name(site.name) for site in sites]
    if len(set(folders)) < len(folders):
        raise ConfigError(
            f"expected sites whose names differ in letters and digits, got {', '.join(folders)}"
        )
    return sites


def _make_member(
    folder: NetworkFolder, site: Site, broker: BrokerSection, plan: NetworkPlan
) -> MemberFolder:
    rows = folder.rows(site.name)
    write_rows(rows, site.training)
    section = data_section(rows, site.training.categorical_names).model_copy(
        update={
            "allow_one_class": plan.data.allow_one_class,
            "hold_out_fraction": plan.hold_out,
            "seed": plan.data.seed,
        }
    )
    return create_member(
        folder.member(site.name),
        name=site.name,
        broker=broker,
        data=section,
        seed=os.urandom(SEED_BYTES),
    )


def _absolute(path: Path | None) -> Path | None:
    return path if path is None else path.expanduser().absolute()
