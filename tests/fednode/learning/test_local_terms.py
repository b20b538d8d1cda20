from dataclasses import replace

import pytest

from fednode.learning.errors import SettingsError
from fednode.learning.local_terms import LocalTerms, read_local_terms
from fednode.learning.optimizers import Adam, Sgd
from tests.fednode.learning.builders import SETTINGS


def read(text: str, momentum: float = 0.0) -> LocalTerms:
    return read_local_terms(replace(SETTINGS, optimizer=text, momentum=momentum))


def test_a_bare_name_means_the_usual() -> None:
    rate = SETTINGS.learning_rate
    plain = read("sgd", momentum=0.9)

    assert plain.optimizer == Sgd(learning_rate=rate, momentum=0.9)
    assert (plain.proximal, plain.class_weights, plain.validation) == (0.0, (), 0.0)
    assert read("adam").optimizer == Adam(learning_rate=rate)
    assert read("adamw").optimizer == Adam(learning_rate=rate, decay=0.01)


def test_every_option_is_read() -> None:
    terms = read("adamw,b1=0.8,b2=0.99,eps=0.01,decay=0.1,stop=0.25,patience=5")
    other = read("sgd,prox=0.01,weights=1:2.5")

    assert terms == LocalTerms(
        optimizer=Adam(
            learning_rate=SETTINGS.learning_rate, beta1=0.8, beta2=0.99, epsilon=0.01, decay=0.1
        ),
        proximal=0.0,
        class_weights=(),
        validation=0.25,
        patience=5,
    )
    assert (other.proximal, other.class_weights) == (0.01, (1.0, 2.5))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("adam,b1=0.9", "adam"),
        ("adam,b1=.8", "adam,b1=0.8"),
        ("adam,b2=0.99,b1=0.8", "adam,b1=0.8,b2=0.99"),
        ("sgd,prox=0.10", "sgd,prox=0.1"),
        ("sgd,weights=1.0:2", "sgd,weights=1:2"),
        ("sgd,prox=1,prox=2", "sgd,prox=2"),
        ("adam,eps=1e-8", "adam"),
    ],
)
def test_another_spelling_is_refused_with_the_right_one(text: str, canonical: str) -> None:
    with pytest.raises(SettingsError, match=f"{text}' is written '{canonical}'"):
        read(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no optimizer ''"),
        ("momentum", "no optimizer 'momentum': choose sgd, adam, adamw"),
        ("sgd,b1=0.5", "no option 'b1': it has prox, weights, stop, patience"),
        ("adam,decay=0.1", "no option 'decay'"),
        ("sgd,", "no option ''"),
        ("sgd,prox", "prox=: expected a number"),
        ("sgd,prox=much", "prox=much: expected a number"),
        ("sgd,prox=nan", "prox=nan: expected a number"),
        ("sgd,prox=-1", "prox of 0 or more"),
        ("adam,b2=1", "b2 from 0 to less than 1"),
        ("adam,eps=0", "eps above 0"),
        ("sgd,stop=1", "stop from 0 to less than 1"),
        ("sgd,stop=0.1,patience=0", "patience of 1, 2"),
        ("sgd,stop=0.1,patience=1.5", "patience of 1, 2"),
        ("sgd,weights=1", "at least two"),
        ("sgd,weights=0:1", "weights above 0"),
        (f"sgd,weights={':'.join('9' * 40)}", "longer than 64 bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        read(text)


def test_momentum_is_refused_beside_an_optimizer_that_has_none() -> None:
    with pytest.raises(SettingsError, match=r"adam and the momentum 0\.9: momentum belongs to sgd"):
        read("adam", momentum=0.9)
