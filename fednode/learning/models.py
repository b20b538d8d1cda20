"""The built-in models by their names, which contracts carry: one name for each model.

| name | model |
|---|---|
| `logistic` | logistic regression for two classes |
| `softmax10` | logistic regression for ten classes |
| `linear`, `linear3` | linear regression of one or three values |
| `cox` | linear proportional hazards |
| `autoregression7` | linear, seven steps ahead of a window of past values, the newest last |
| `mlp` | hidden layers of 64 and 32 units with ReLU, drawn uniformly, for two classes |
| `mlp-16-tanh-gaussian-softmax10` | all of it chosen: sizes, activation, initialisation, head |
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fednode.learning.cox import PartialLikelihood
from fednode.learning.errors import SettingsError
from fednode.learning.heads import Head, Logistic, Softmax, SquaredError
from fednode.learning.layers import ACTIVATIONS, INITIALISATIONS
from fednode.learning.learner import Parameters
from fednode.learning.network import Network
from ledger.tensors import TensorSpec

EXPONENT: Final = 16
"""Scale of the built-in models' tensors: values are multiples of 2^-16, up to +-256."""
HIDDEN_SIZES: Final = (64, 32)
"""Hidden layers of `mlp` where its name has no sizes."""
OUTPUTS_MAX: Final = 65_536
"""Largest number of units in a layer that is named."""
EXAMPLES: Final = "logistic, softmax10, linear, cox, autoregression7, mlp, mlp-16-tanh-softmax10"

_AUTOREGRESSION: Final = "autoregression"
_NUMBER: Final = r"[1-9][0-9]{0,4}"
_HEAD: Final = rf"(?P<head>logistic|softmax|linear|cox|{_AUTOREGRESSION})(?P<outputs>{_NUMBER})?"
_ONE_OF: Final = "|".join
_NAME: Final = re.compile(
    rf"(?:(?P<mlp>mlp)(?P<sizes>(?:-{_NUMBER})*)(?:-(?P<activation>{_ONE_OF(ACTIVATIONS)}))?"
    rf"(?:-(?P<initialisation>{_ONE_OF(INITIALISATIONS)}))?(?:-|$))?(?:{_HEAD})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What a model's name says; `outputs` is 1 where the head leaves no choice."""

    head: str
    outputs: int
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    initialisation: str = "uniform"

    @property
    def name(self) -> str:
        """The one name of this model, which leaves out what is so anyway.

        Examples:
            >>> Architecture(head="softmax", outputs=3, hidden=(8,), activation="tanh").name
            'mlp-8-tanh-softmax3'
        """
        head = self.head
        if self.outputs > 1 or self.head == _AUTOREGRESSION:
            head += str(self.outputs)
        if not self.hidden:
            return head
        parts = ["mlp"]
        if self.hidden != HIDDEN_SIZES:
            parts += [str(size) for size in self.hidden]
        parts += [self.activation] * (self.activation != "relu")
        parts += [self.initialisation] * (self.initialisation != "uniform")
        parts += [head] * (head != "logistic")
        return "-".join(parts)


def parse_architecture(name: str) -> Architecture:
    """Read the name of a built-in model.

    Raises:
        SettingsError: If no built-in model has this name, or it has another one.

    Examples:
        >>> parse_architecture("mlp-16-softmax10")
        Architecture(head='softmax', outputs=10, hidden=(16,), activation='relu', \
initialisation='uniform')
    """
    match = _NAME.fullmatch(name)
    if match is None or not name:
        raise SettingsError(_unknown(name))
    part = match.groupdict()
    sizes = tuple(int(size) for size in (part["sizes"] or "").split("-") if size)
    made = Architecture(
        head=part["head"] or "logistic",
        outputs=int(part["outputs"] or 1),
        hidden=(sizes or HIDDEN_SIZES) if part["mlp"] else (),
        activation=part["activation"] or "relu",
        initialisation=part["initialisation"] or "uniform",
    )
    if max(made.outputs, *made.hidden, 1) > OUTPUTS_MAX or not _is_possible(made):
        raise SettingsError(_unknown(name))
    if made.name != name:
        raise SettingsError(f"the model {name!r} is written {made.name!r}: use that name")
    return made


def is_built_in(model: str) -> bool:
    """Return whether `model` names a built-in model, not a member's own learner."""
    return ":" not in model


def build_network(model: str, features: int) -> Network:
    """Return the built-in network called `model` for rows of `features` values.

    Raises:
        SettingsError: If no built-in model has this name.
    """
    made = parse_architecture(model)
    return Network(
        sizes=(features, *made.hidden, made.outputs),
        head=_HEADS[made.head](made.outputs),
        activation=made.activation,
        initialisation=made.initialisation,
        repeats_last=made.head == _AUTOREGRESSION,
    )


def tensor_table(parameters: Parameters, exponent: int = EXPONENT) -> tuple[TensorSpec, ...]:
    """Return the contract's tensor table for `parameters`, in their order."""
    return tuple(
        TensorSpec(name=name, shape=values.shape, exponent=exponent)
        for name, values in parameters.items()
    )


_HEADS: Final[Mapping[str, Callable[[int], Head]]] = MappingProxyType(
    {
        "logistic": lambda _: Logistic(),
        "softmax": lambda classes: Softmax(outputs=classes),
        "linear": lambda values: SquaredError(outputs=values),
        _AUTOREGRESSION: lambda steps: SquaredError(outputs=steps),
        "cox": lambda _: PartialLikelihood(),
    }
)


def _is_possible(made: Architecture) -> bool:
    if made.head in {"logistic", "cox"}:
        return made.outputs == 1
    if made.head == "softmax":
        return made.outputs > 1
    return made.head != _AUTOREGRESSION or not made.hidden


def _unknown(name: str) -> str:
    return (
        f"there is no model {name!r}: choose one as {EXAMPLES}, or bring your own as "
        "--learner path.py:MyLearner"
    )
