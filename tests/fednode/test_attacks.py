import numpy as np
import pytest

from fednode.attacks import parse_attack, parse_attacker
from fednode.learning.dataset import Dataset
from fednode.learning.errors import SettingsError
from ledger.records import VALUE_MAX

RNG = np.random.default_rng(0)


def test_sign_flip_sends_ten_times_the_opposite() -> None:
    attack = parse_attack("sign-flip")

    assert attack.apply(np.array([1.0, -0.5]), RNG).tolist() == [-10.0, 5.0]


def test_sign_flip_takes_a_factor() -> None:
    attack = parse_attack("sign-flip:2.5")

    assert attack.apply(np.array([2.0]), RNG).tolist() == [-5.0]
    assert parse_attack(attack.text) == attack


def test_gaussian_sends_noise_of_the_given_size_around_nothing(seed: int) -> None:
    delta = np.full(10_000, 0.5)

    sent = parse_attack("gaussian:4").apply(delta, np.random.default_rng(seed))

    assert sent.std() == pytest.approx(2.0, rel=0.05)
    assert abs(sent.mean()) < 0.1
    again = parse_attack("gaussian:4").apply(delta, np.random.default_rng(seed))
    assert again.tolist() == sent.tolist()


def test_label_flip_trains_on_reversed_labels_and_touches_nothing_else() -> None:
    attack = parse_attack("label-flip")
    rows = Dataset(
        features=np.eye(4), labels=np.array([0.0, 1.0, 9.0, 4.0]), feature_names=("a",) * 4
    )
    times = Dataset(
        features=np.eye(2), labels=np.array([[3.0, 1.0], [8.0, 0.0]]), feature_names=("a",) * 2
    )

    assert attack.apply_to_rows(rows).labels.tolist() == [9.0, 8.0, 0.0, 5.0]
    assert attack.apply_to_rows(times).labels.tolist() == [[8.0, 0.0], [3.0, 1.0]]
    assert attack.apply_to_rows(rows).features is rows.features
    assert attack.apply(np.array([2.0]), RNG).tolist() == [2.0]
    assert parse_attack("sign-flip").apply_to_rows(rows) is rows


@pytest.mark.parametrize("name", ["nan", "overflow"])
def test_what_is_no_update_is_beyond_the_range_that_others_accept(name: str) -> None:
    sent = parse_attack(name).apply_to_integers(np.array([1, -2], np.int32))

    assert sent.dtype == np.int32
    assert (np.abs(sent.astype(np.int64)) > VALUE_MAX).all()
    if name == "nan":
        assert np.isnan(sent.view(np.float32)).all()


@pytest.mark.parametrize("name", ["label-flip", "nan", "overflow"])
def test_an_attack_without_strength_takes_no_number(name: str) -> None:
    assert parse_attack(name).text == name
    assert parse_attacker(f"{name}@2") == (2, parse_attack(name))
    with pytest.raises(SettingsError, match="takes no number"):
        parse_attack(f"{name}:3")


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
