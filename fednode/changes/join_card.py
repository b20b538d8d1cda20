"""The join card: what a newcomer brings to its sponsor, signed by the new key (rule P81)."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fednode.config import NodeConfig
from fednode.errors import ConfigError
from fednode.founding.card_files import read_card
from fednode.founding.cards import Hexadecimal, RoleName
from fednode.founding.members import millionths_held
from fednode.learning.preprocessing import preprocess
from fednode.learning.site_data import load_site
from ledger.genesis import Contract, Role, chain_id
from ledger.keys import ED25519, SecretKey
from ledger.metrics import METRIC_SCALE
from ledger.operations import NO_SIGNATURE, Join, possession_bytes, with_possession

CARD_BYTES_MAX: Final = 1 << 16
HEIGHTS: Final = 900
"""Heights for which a card can be used, counted from the one that its maker was told.

Fewer than an operation may live, because the sponsor's ledger may be a little behind.
"""


class JoinCard(BaseModel):
    """A JOIN as a file that people can read.

    Attributes:
        chain_id: The network to be joined.
        expiry: Last height at which the newcomer can be taken in and admitted.
        possession: The new key's signature over all of it.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal["fednode join card 1"] = "fednode join card 1"
    chain_id: Annotated[Hexadecimal, StringConstraints(min_length=64, max_length=64)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    public_key: Annotated[Hexadecimal, StringConstraints(min_length=64, max_length=64)]
    roles: tuple[RoleName, ...]
    samples: Annotated[int, Field(ge=0, lt=2**64)]
    expiry: Annotated[int, Field(ge=1, lt=2**64)]
    possession: Annotated[Hexadecimal, StringConstraints(min_length=128, max_length=128)]

    def operation(self) -> Join:
        """Return the JOIN that the sponsor offers."""
        return Join(
            public_key=bytes.fromhex(self.public_key),
            name=self.name,
            roles=sum({Role[name.upper()] for name in self.roles}),
            samples=self.samples,
            expiry=self.expiry,
            possession=bytes.fromhex(self.possession),
        )


def make_join_card(
    config: NodeConfig, key: SecretKey, contract: Contract, *, height: int, is_validator: bool
) -> JoinCard:
    """Return the card of a member-to-be, after comparing its rows with the contract.

    Args:
        config: Its settings.
        key: Its secret key.
        contract: The founders' contract of the network to be joined.
        height: The network's height now, as the sponsor says.
        is_validator: Whether it is to vote.

    Raises:
        ConfigError: If it would neither train nor vote, its label is not the network's, or it holds
            rows out otherwise than the network.
        DataError: If its rows cannot be read, or lack a feature of the contract.
    """
    roles = _roles(config, contract, is_validator=is_validator)
    join = Join(
        public_key=key.public_key,
        name=config.node.name,
        roles=sum({Role[name.upper()] for name in roles}),
        samples=_samples(config, contract),
        expiry=height + HEIGHTS,
        possession=NO_SIGNATURE,
    )
    chain = chain_id(contract)
    return JoinCard(
        chain_id=chain.hex(),
        name=join.name,
        public_key=join.public_key.hex(),
        roles=roles,
        samples=join.samples,
        expiry=join.expiry,
        possession=with_possession(join, key, chain).possession.hex(),
    )


def _roles(config: NodeConfig, contract: Contract, *, is_validator: bool) -> tuple[RoleName, ...]:
    roles: tuple[RoleName, ...] = ("trainer",) if config.data is not None else ()
    roles = (*roles, "validator") if is_validator else roles
    if not roles:
        raise ConfigError("expected a role, got none; give it data, or let it be a validator")
    held = 0 if config.data is None else millionths_held(config.data)
    if not held:
        return roles
    agreed = contract.feedback.hold_out
    if held != agreed:
        expected = f"a share of {agreed / METRIC_SCALE} held out to judge models, or none"
        expected = expected if agreed else "no rows held out, as this network judges no models"
        raise ConfigError(
            f"expected {expected}, got {held / METRIC_SCALE}; "
            "correct data.hold_out_fraction in node.toml"
        )
    if not is_validator:
        raise ConfigError(
            "expected a validator, because it holds rows out to judge models, got a trainer only; "
            "let it vote, or hold out nothing (data.hold_out_fraction = 0)"
        )
    return (*roles, "hold_out")


def _samples(config: NodeConfig, contract: Contract) -> int:
    if config.data is None:
        return 0
    for what in ("label", "positive"):
        own, agreed = getattr(config.data, what), getattr(contract.data, what)
        if own != agreed:
            raise ConfigError(
                f"expected the {what} of the contract, {agreed!r}, got {own!r}; "
                "correct it in node.toml"
            )
    rows = load_site(config.data.spec()).training
    preprocess(rows, contract.data.features)  # refuses rows that lack a feature
    return len(rows)


def load_join_card(path: Path, chain: bytes) -> JoinCard:
    """Return the card in a file.

    Raises:
        ConfigError: If the file cannot be read, is no join card, is for another network, or was not
            made by the holder of its key.
    """
    maker = "the newcomer makes one with 'fednode member card'"
    card = read_card(
        path, JoinCard, what="a join card", bytes_max=CARD_BYTES_MAX, origin=maker, remedy=maker
    )
    if card.chain_id != chain.hex():
        raise ConfigError(
            f"{path}: expected a card for chain {chain.hex()[:16]}, got one for "
            f"{card.chain_id[:16]}; give the newcomer the genesis of this network"
        )
    join = card.operation()
    if not ED25519.is_valid(join.public_key, possession_bytes(join, chain), join.possession):
        raise ConfigError(
            f"{path}: expected the card as the holder of its key made it, got one that was "
            "changed; ask the newcomer for the file again"
        )
    return card
