"""METRICS: what a member says about a model on rows that nobody trains on (rule P16)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from ledger.encoding import I64, U64, Digest, encode_as
from ledger.keys import Signed
from ledger.merkle import root

PATIENCE_MAX: Final = 16
"""Most models in a row that may be regretted before the base returns to the best one."""
METRIC_SCALE: Final = 1_000_000
"""Figures are in millionths."""
METRIC_MAX: Final = 2**53
"""Largest magnitude that an honest member reports; a figure that is no number is the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsReport:
    """A member's figures of a new model and of the best one, on the same hold-out rows.

    Higher is better: where the contract's metric is a loss, its negative is reported. `height` is
    that of the block that made the model, `best_id` the best model in the state after it.
    """

    TAG: ClassVar[str] = "judge/1"

    height: U64
    model_id: Digest
    best_id: Digest
    value: I64
    best_value: I64

    @property
    def said_at(self) -> int:
        """The height with whose keys it is signed: the first one at which it can be said (P3)."""
        return self.height + 1


SignedMetrics: TypeAlias = Signed[MetricsReport]

DECODABLE: Final[tuple[object, ...]] = (SignedMetrics,)


def metrics_root(metrics: Sequence[Signed[MetricsReport]]) -> bytes:
    """Return the Merkle root over the METRICS of a block (rule P50)."""
    return root([encode_as(SignedMetrics, each) for each in metrics])
