"""What a local network is to be like."""

from dataclasses import dataclass
from typing import Final

from fednode.attacks import parse_attacker
from fednode.errors import ConfigError
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from ledger.genesis import Timeouts

LOCAL_TIMEOUTS: Final = Timeouts(
    collect_ms=5_000,
    collect_max_ms=30_000,
    have_grace_ms=150,
    propose_ms=3_000,
    prepare_ms=1_500,
    commit_ms=1_500,
    view_max_ms=15_000,
    rebroadcast_ms=1_000,
    clock_window_ms=10_000,
)
"""Waits for nodes that share a computer and train within a second.

`collect_ms` is the longest that a height waits for a trainer that died; after four heights it is no
longer expected (rule P11). `have_grace_ms` is the only wait that every height takes. The others
bound what a dead proposer costs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Kill member `member` without warning once it has committed `height`, and start it again."""

    member: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """Members, data and terms of a network that is to be made.

    Attributes:
        data: The whole data set, with its division into sites; `site` is not used.
        names: Names of the members in order; empty means those of the sites.
        options: Terms of the contract.
        hold_out: Share of its rows on which each member judges models instead of training.
        attackers: `NAME:FACTOR@MEMBER` of each member that is to lie.
    """

    data: DataSpec
    options: ContractOptions
    names: tuple[str, ...] = ()
    hold_out: float = 0.0
    attackers: tuple[str, ...] = ()


def parse_kill(text: str) -> Kill:
    """Read `MEMBER@HEIGHT`.

    Raises:
        ConfigError: If the text has another form.

    Examples:
        >>> parse_kill("2@5")
        Kill(member=2, height=5)
    """
    member, separator, height = text.partition("@")
    if not separator or not (_is_number(member) and _is_number(height)):
        raise ConfigError(f"--kill is {text!r}: expected a member and a height, as in 2@5")
    return Kill(member=int(member), height=int(height))


def attacks_by_member(attackers: tuple[str, ...], members: int) -> dict[int, str]:
    """Return the attack of each lying member, as its configuration takes it.

    Raises:
        ConfigError: If there is no such member, or one is named twice.
        SettingsError: If an attack cannot be read.
    """
    attacks: dict[int, str] = {}
    for text in attackers:
        number, attack = parse_attacker(text)
        if number >= members:
            raise ConfigError(f"--attack {text} names member {number}: expected 0 to {members - 1}")
        if number in attacks:
            raise ConfigError(f"--attack {text}: member {number} has an attack already")
        attacks[number] = attack.text
    return attacks


def check_kills(kills: tuple[Kill, ...], members: int) -> None:
    """Check that the members to kill exist.

    Raises:
        ConfigError: If one does not.
    """
    for kill in kills:
        if kill.member >= members:
            raise ConfigError(
                f"--kill {kill.member}@{kill.height} names member {kill.member}: expected 0 to "
                f"{members - 1}"
            )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
