"""What a lying trainer of a test network sends in place of its honest update.

An attack is written `NAME` or `NAME:ARGUMENT`, and `NAME:ARGUMENT@MEMBER` where a whole network is
described: `sign-flip:10@3` lets member 3 send -10 times its update in every training round. A liar
here knows no update but its own, as in a real network before it has sent; attacks that need those
of the others are in `fednode.collusion`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.errors import SettingsError

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int32]
SIGN_FLIP_FACTOR: Final = 10.0
GAUSSIAN_FACTOR: Final = 10.0
NAN_BITS: Final = int(np.float32("nan").view(np.int32))
"""What a trainer whose parameters are no numbers would send if it sent its floats as they are."""


def _keep(values: Floats, factor: float, rng: np.random.Generator) -> Floats:
    del factor, rng
    return values


def _keep_integers(vector: Integers) -> Integers:
    return vector


def _flip_sign(delta: Floats, factor: float, rng: np.random.Generator) -> Floats:
    del rng
    return -factor * delta


def _send_noise(delta: Floats, factor: float, rng: np.random.Generator) -> Floats:
    size = float(np.sqrt(np.mean(delta**2))) if delta.size else 0.0
    return rng.normal(0.0, factor * size, delta.shape)


def _flip_labels(labels: Floats) -> Floats:
    # Each value becomes what lies as far from the other end: class 0 of 10 becomes class 9.
    return np.asarray(labels.max(axis=0) + labels.min(axis=0) - labels)


def _send_nan(vector: Integers) -> Integers:
    return np.full_like(vector, NAN_BITS)


def _overflow(vector: Integers) -> Integers:
    return np.full_like(vector, np.iinfo(np.int32).min)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackKind:
    """What an attack changes.

    Attributes:
        default_factor: Its strength where none is given; None if it has no strength.
        on_update: Makes of one tensor of the honest update what is sent.
        on_labels: Makes of the labels of the training rows those that are trained on; None if the
            attack trains honestly.
        on_integers: Makes of the quantized update what is sent; other members refuse values beyond
            `VALUE_MAX` (rule P10).
    """

    default_factor: float | None = None
    on_update: Callable[[Floats, float, np.random.Generator], Floats] = _keep
    on_labels: Callable[[Floats], Floats] | None = None
    on_integers: Callable[[Integers], Integers] = _keep_integers


ATTACKS: Final[Mapping[str, AttackKind]] = MappingProxyType(
    {
        "sign-flip": AttackKind(default_factor=SIGN_FLIP_FACTOR, on_update=_flip_sign),
        "gaussian": AttackKind(default_factor=GAUSSIAN_FACTOR, on_update=_send_noise),
        "label-flip": AttackKind(on_labels=_flip_labels),
        "nan": AttackKind(on_integers=_send_nan),
        "overflow": AttackKind(on_integers=_overflow),
    }
)
"""By name: -factor times the update; noise, of which the standard deviation is factor times the
root mean square of the update; training on reversed labels; and two bodies that are no update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A named attack with its strength; 0 where it has none."""

    name: str
    factor: float

    def apply(self, delta: Floats, rng: np.random.Generator) -> Floats:
        """Return what is sent in place of one tensor of the honest update, of the same shape."""
        return ATTACKS[self.name].on_update(delta, self.factor, rng)

    def apply_to_integers(self, vector: Integers) -> Integers:
        """Return what is sent in place of a quantized update, shape (p,)."""
        return ATTACKS[self.name].on_integers(vector)

    def apply_to_rows(self, rows: Dataset) -> Dataset:
        """Return what is trained on in place of the honest rows."""
        flip = ATTACKS[self.name].on_labels
        return rows if flip is None else replace(rows, labels=flip(rows.labels))

    @property
    def text(self) -> str:
        """The form that `parse_attack` reads."""
        is_plain = ATTACKS[self.name].default_factor is None
        return self.name if is_plain else f"{self.name}:{self.factor:g}"


def parse_attack(text: str) -> Attack:
    """Read `NAME` or `NAME:FACTOR`.

    Raises:
        SettingsError: If there is no such attack, it takes no factor, or the factor is not a number
            above 0.

    Examples:
        >>> parse_attack("sign-flip").text
        'sign-flip:10'
    """
    name, separator, argument = text.partition(":")
    if name not in ATTACKS:
        raise SettingsError(f"there is no attack {name!r}: choose one of {', '.join(ATTACKS)}")
    default = ATTACKS[name].default_factor
    if not separator:
        return Attack(name=name, factor=default or 0.0)
    if default is None:
        raise SettingsError(f"the attack is {text!r}: {name} takes no number, write it alone")
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
