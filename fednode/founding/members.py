"""Make a member's folder: secret key, configuration and card."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fednode.config import (
    GENESIS_NAME,
    INITIAL_MODEL_NAME,
    KEY_NAME,
    NETWORK_KEY_NAME,
    STATE_NAME,
    BrokerSection,
    DataSection,
    NodeConfig,
    NodeSection,
    write_config,
)
from fednode.errors import ConfigError
from fednode.founding.card_files import write_card
from fednode.founding.cards import MemberCard, RoleName
from fednode.founding.keys import MemberKey, create_key_file
from fednode.learning.errors import DataError
from fednode.learning.rows import Rows
from fednode.learning.site_data import load_site
from fednode.learning.statistics import SiteStatistics, site_statistics
from ledger.metrics import METRIC_SCALE

CONFIG_NAME: Final = "node.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFolder:
    """What `create_member` made."""

    folder: Path
    config: NodeConfig
    card: MemberCard

    @property
    def config_path(self) -> Path:
        """Where the configuration is."""
        return self.folder / CONFIG_NAME

    @property
    def card_path(self) -> Path:
        """Where the public card is."""
        return self.folder / card_name(self.card.name)


def create_member(
    folder: Path,
    *,
    name: str,
    broker: BrokerSection,
    data: DataSection | None,
    seed: bytes,
    is_validator: bool = True,
) -> MemberFolder:
    """Make a folder with a secret key, a configuration and a public card; nothing on failure.

    Args:
        folder: Made if it is not there.
        name: The member's name in the contract.
        broker: How to reach the broker.
        data: The member's rows; None makes a validator without data.
        seed: 32 secret random bytes, the key.
        is_validator: Whether the member is to vote.

    Raises:
        ConfigError: If the folder has a key or configuration already, or cannot be written.
        DataError: If the rows cannot be read.
    """
    card = make_card(name, data, MemberKey(seed), is_validator=is_validator)
    folder = folder.absolute()
    made = MemberFolder(folder=folder, config=_config(folder, name, broker, data), card=card)
    if made.config_path.exists():
        raise ConfigError(f"expected no {CONFIG_NAME} in {folder}, got one; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        create_key_file(made.config.node.key_file, seed)
        write_config(made.config_path, made.config)
        write_card(made.card_path, card)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}; name another folder") from None
    return made


def make_card(
    name: str, data: DataSection | None, key: MemberKey, *, is_validator: bool = True
) -> MemberCard:
    """Return the signed card of a member.

    Raises:
        ConfigError: If the member would neither train nor vote.
        DataError: If the rows cannot be read.
    """
    roles: tuple[RoleName, ...] = ("trainer",) if data is not None else ()
    roles = (*roles, "validator") if is_validator else roles
    if not roles:
        raise ConfigError(
            f"expected a role for {name!r}, got none; give it data, or let it be a validator"
        )
    hold_out = 0 if data is None else millionths_held(data)
    if hold_out and not is_validator:
        raise ConfigError(
            f"expected {name!r} to vote, because it holds rows out to judge models, got a trainer "
            "only; let it be a validator, or hold out nothing (data.hold_out_fraction = 0)"
        )
    roles = (*roles, "hold_out") if hold_out else roles
    statistics: SiteStatistics | None = None
    if data is not None:
        rows = load_site(data.spec()).training
        if not data.allow_one_class:
            _check_classes(rows, name)
        statistics = site_statistics(rows)
    card = MemberCard(
        name=name,
        public_key=key.public_key.hex(),
        roles=roles,
        samples=0 if statistics is None else statistics.rows,
        hold_out=hold_out,
        label="" if data is None else data.label,
        positive="" if data is None else data.positive,
        statistics=statistics,
    )
    return card.signed(key)


def _check_classes(rows: Rows, name: str) -> None:
    # As training would refuse it, but before anything is made or signed.
    counts = {value: int((rows.labels == value).sum()) for value in (0, 1)}
    if len(rows) and not all(counts.values()):
        raise DataError(
            f"expected rows of both classes at {name!r}, got {counts[0]} negative and {counts[1]} "
            "positive ones; check the label column and the rule for the positive class, or let it "
            "be so with --allow-one-class (data.allow_one_class)"
        )


def millionths_held(data: DataSection) -> int:
    """Return the share of its rows that a member holds out, as the contract says it."""
    return round(data.hold_out_fraction * METRIC_SCALE)


def card_name(name: str) -> str:
    """Return the file name of a member's card.

    Examples:
        >>> card_name("St. Mary's, Ward 3")
        'st-mary-s-ward-3.card'
    """
    return (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "member") + ".card"


def _config(folder: Path, name: str, broker: BrokerSection, data: DataSection | None) -> NodeConfig:
    node = NodeSection(
        name=name,
        key_file=folder / KEY_NAME,
        genesis_file=folder / GENESIS_NAME,
        network_key_file=folder / NETWORK_KEY_NAME,
        initial_model_file=folder / INITIAL_MODEL_NAME,
        folder=folder / STATE_NAME,
    )
    return NodeConfig(node=node, broker=broker, data=data)
