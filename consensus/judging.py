"""What the engine, its host and its peers tell each other about models (rule P16)."""

from dataclasses import dataclass

from ledger.keys import Verified
from ledger.metrics import MetricsReport


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsReceived:
    """Input: a member says how a model does on its own rows."""

    metrics: Verified[MetricsReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Effect: compare a new model with the best one on the own hold-out rows.

    Answer with `Evaluated`. No answer is no harm: nothing waits for it but the closing height, and
    that not for long.
    """

    height: int
    model_id: bytes
    best_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Input: what the own rows say; the higher a figure the better."""

    height: int
    model_id: bytes
    best_id: bytes
    value: int
    best_value: int
