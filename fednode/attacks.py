"""What a lying trainer of a test network sends in place of its honest update.

An attack is written `NAME` or `NAME:ARGUMENT`, and `NAME:ARGUMENT@MEMBER` where a whole network is
described: `sign-flip:10@3` lets member 3 send -10 times its update in every training round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import SettingsError

Floats: TypeAlias = NDArray[np.float64]
SIGN_FLIP_FACTOR: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A named attack with its strength; what it makes of an update depends on nothing else."""

    name: str
    factor: float

    def apply(self, delta: Floats) -> Floats:
        """Return what is sent in place of the honest `delta`, of the same shape."""
        return ATTACKS[self.name].apply(delta, self.factor)

    @property
    def text(self) -> str:
        """The form that `parse_attack` reads."""
        return f"{self.name}:{self.factor:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackKind:
    """How an attack changes an update, and its strength where none is given."""

    default_factor: float
    apply: Callable[[Floats, float], Floats]


def _flip_sign(delta: Floats, factor: float) -> Floats:
    return -factor * delta


ATTACKS: Final[Mapping[str, AttackKind]] = MappingProxyType(
    {"sign-flip": AttackKind(default_factor=SIGN_FLIP_FACTOR, apply=_flip_sign)}
)


def parse_attack(text: str) -> Attack:
    """Read `NAME` or `NAME:FACTOR`.

    Raises:
        SettingsError: If there is no such attack, or the factor is not a number above 0.

    Examples:
        >>> parse_attack("sign-flip").text
        'sign-flip:10'
    """
    name, separator, argument = text.partition(":")
    if name not in ATTACKS:
        raise SettingsError(f"there is no attack {name!r}: choose one of {', '.join(ATTACKS)}")
    if not separator:
        return Attack(name=name, factor=ATTACKS[name].default_factor)
    try:
        factor = float(argument)
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < np.inf:
        raise SettingsError(
            f"the attack is {text!r}: expected a number above 0 after the colon, as in {name}:10"
        )
    return Attack(name=name, factor=factor)


def parse_attacker(text: str) -> tuple[int, Attack]:
    """Read `NAME@MEMBER` or `NAME:FACTOR@MEMBER`; return the member's number and its attack.

    Raises:
        SettingsError: If the text has another form.

    Examples:
        >>> parse_attacker("sign-flip:5@3")
        (3, Attack(name='sign-flip', factor=5.0))
    """
    attack, separator, member = text.rpartition("@")
    if not separator or not (member.isascii() and member.isdecimal()):
        raise SettingsError(
            f"the attacker is {text!r}: expected an attack and a member, as in sign-flip:10@3"
        )
    return int(member), parse_attack(attack)
