"""How a member trains between two models, read from the one text that the contract has for it.

The text is the optimizer's name and what differs from the usual, as in `adamw,decay=0.1,prox=0.01`:

| | |
|---|---|
| `sgd` | gradient descent; the settings' momentum belongs to it |
| `adam`, `adamw` | with `b1` (0.9), `b2` (0.999), `eps` (1e-08); `adamw` with `decay` (0.01) |
| `prox` | strength mu of FedProx's pull towards the model that training started from (0) |
| `weights` | weight of each class in the loss, as `weights=1:3` (all 1) |
| `stop` | share of the member's rows by which training stops early (0: it does not) |
| `patience` | checks without a better loss on those rows before it stops (3) |

One meaning has one text: options stand in this order, and those of their usual value are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from fednode.learning.errors import SettingsError
from fednode.learning.learner import TrainingSettings
from fednode.learning.optimizers import Adam, Optimizer, Sgd

TEXT_BYTES_MAX: Final = 64
"""Longest text that a contract has room for."""
USUAL: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        name: MappingProxyType({**own, "prox": "0", "weights": "", "stop": "0", "patience": "3"})
        for name, own in (
            ("sgd", {}),
            ("adam", {"b1": "0.9", "b2": "0.999", "eps": "1e-08"}),
            ("adamw", {"b1": "0.9", "b2": "0.999", "eps": "1e-08", "decay": "0.01"}),
        )
    }
)
"""Options of each optimizer in their order, with their usual values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTerms:
    """What the text says, with the settings' learning rate and momentum.

    Attributes:
        optimizer: Takes the steps.
        proximal: Strength mu of the term `mu / 2 * |x - start|^2` in the local objective.
        class_weights: Factor of each class's rows in the loss; empty means 1 for all.
        validation: Share of the training rows that early stopping judges by, 0 for none.
        patience: Checks in a row without a lower loss on them after which training stops.
    """

    optimizer: Optimizer
    proximal: float
    class_weights: tuple[float, ...]
    validation: float
    patience: int


def read_local_terms(settings: TrainingSettings) -> LocalTerms:
    """Return how a member trains by its network's settings.

    Raises:
        SettingsError: If the text cannot be read or has another spelling, or a number is out of
            range.

    Examples:
        >>> settings = TrainingSettings(
        ...     model="logistic", optimizer="sgd,prox=0.01", learning_rate=0.1, momentum=0.0,
        ...     batch_size=8, local_steps=20, worker_momentum=0.0, seed=0,
        ... )
        >>> read_local_terms(settings).proximal
        0.01
    """
    text = settings.optimizer
    given = _options(text)
    name = text.partition(",")[0]
    option = {key: given.get(key, value) for key, value in USUAL[name].items()}
    weights = tuple(_number(text, "weights", each) for each in option["weights"].split(":") if each)
    number = {key: _number(text, key, value) for key, value in option.items() if key != "weights"}
    _check_ranges(text, number, weights)
    spelled = {
        key: ":".join(map(_spell, weights)) if key == "weights" else _spell(number[key])
        for key in option
    }
    changed = [f"{key}={value}" for key, value in spelled.items() if value != USUAL[name][key]]
    canonical = ",".join((name, *changed))
    if text != canonical:
        raise SettingsError(f"the optimizer {text!r} is written {canonical!r}: use that text")
    return LocalTerms(
        optimizer=_optimizer(name, settings, number),
        proximal=number["prox"],
        class_weights=weights,
        validation=number["stop"],
        patience=int(number["patience"]),
    )


def _options(text: str) -> dict[str, str]:
    name, *options = text.split(",")
    if name not in USUAL:
        raise SettingsError(
            f"there is no optimizer {text!r}: choose {', '.join(USUAL)}, and options after it as "
            "in adam,b2=0.99"
        )
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise SettingsError(
            f"the optimizer {text!r} is longer than {TEXT_BYTES_MAX} bytes: leave out options that "
            "have their usual value"
        )
    pairs = [option.partition("=")[::2] for option in options]
    known = ", ".join(USUAL[name])
    for key, _ in pairs:
        if key not in USUAL[name]:
            raise SettingsError(f"the optimizer {text!r} has no option {key!r}: it has {known}")
    return dict(pairs)


def _number(text: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise SettingsError(f"the optimizer {text!r} has {key}={value}: expected a number")
    return number


def _check_ranges(text: str, number: Mapping[str, float], weights: tuple[float, ...]) -> None:
    def check(what: str, *, is_right: bool) -> None:
        if not is_right:
            raise SettingsError(f"the optimizer is {text!r}: expected {what}")

    for key in ("b1", "b2", "stop"):
        check(f"{key} from 0 to less than 1", is_right=0.0 <= number.get(key, 0.0) < 1.0)
    for key in ("decay", "prox"):
        check(f"{key} of 0 or more", is_right=number.get(key, 0.0) >= 0.0)
    check("eps above 0", is_right=number.get("eps", 1.0) > 0.0)
    patience = number["patience"]
    check("patience of 1, 2 ...", is_right=patience >= 1.0 and patience == int(patience))
    check("weights above 0, at least two", is_right=all(w > 0.0 for w in weights))
    check("weights above 0, at least two", is_right=len(weights) != 1)


def _spell(number: float) -> str:
    return repr(int(number)) if number == int(number) else repr(number)


def _optimizer(name: str, settings: TrainingSettings, number: Mapping[str, float]) -> Optimizer:
    if name == "sgd":
        return Sgd(learning_rate=settings.learning_rate, momentum=settings.momentum)
    if settings.momentum:
        raise SettingsError(
            f"the optimizer is {name} and the momentum {settings.momentum}: momentum belongs to "
            "sgd; set it to 0, and b1 to what you want"
        )
    return Adam(
        learning_rate=settings.learning_rate,
        beta1=number["b1"],
        beta2=number["b2"],
        epsilon=number["eps"],
        decay=number.get("decay", 0.0),
    )
