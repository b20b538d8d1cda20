import numpy as np
import pytest

from fednode.attacks import parse_attack, parse_attacker
from fednode.learning.errors import SettingsError


def test_sign_flip_sends_ten_times_the_opposite() -> None:
    attack = parse_attack("sign-flip")

    assert attack.apply(np.array([1.0, -0.5])).tolist() == [-10.0, 5.0]


def test_sign_flip_takes_a_factor() -> None:
    attack = parse_attack("sign-flip:2.5")

    assert attack.apply(np.array([2.0])).tolist() == [-5.0]
    assert parse_attack(attack.text) == attack


def test_attacker_names_the_member() -> None:
    assert parse_attacker("sign-flip@3") == (3, parse_attack("sign-flip:10"))
    assert parse_attacker("sign-flip:4@12") == (12, parse_attack("sign-flip:4"))


@pytest.mark.parametrize("text", ["sign-flip:", "sign-flip:ten", "sign-flip:0", "sign-flip:nan"])
def test_a_factor_that_is_no_number_above_zero_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected a number above 0 after the colon"):
        parse_attack(text)


def test_an_unknown_attack_is_refused_with_the_known_names() -> None:
    with pytest.raises(SettingsError, match="no attack 'nap': choose one of sign-flip"):
        parse_attack("nap")


@pytest.mark.parametrize("text", ["sign-flip", "sign-flip@", "sign-flip@-1", "sign-flip@²"])
def test_an_attacker_without_a_member_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected an attack and a member"):
        parse_attacker(text)
