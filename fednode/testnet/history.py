"""What a run in memory left: every height with its model, figures and powers, and the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from fednode.learning.learner import Metrics, Parameters
from ledger.audit import audit
from ledger.audit_report import finding_line
from ledger.export import write_export
from ledger.genesis import Genesis
from ledger.records import Block, QuorumCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightResult:
    """One height of a run; members are named by number.

    Attributes:
        height: Number of the block.
        kind: AGGREGATE for a new model, EMPTY for none.
        training_round: Training rounds completed with it.
        proposer: Who proposed the block.
        included: Whose updates the new model is made of.
        flagged: Which of these stood out.
        powers: Voting powers after it, by member.
        model_id: Id of the model after it, in hexadecimal digits.
        model: That model.
        metrics: Figures of that model at each member that has the rows asked for.
    """

    height: int
    kind: str
    training_round: int
    proposer: int
    included: tuple[int, ...]
    flagged: tuple[int, ...]
    powers: Mapping[int, int]
    model_id: str
    model: Parameters
    metrics: Mapping[int, Metrics]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A run from its contract to its last block.

    Attributes:
        genesis: The contract, signed by all members.
        heights: One after the other, from height 1.
        blocks: The ledger, which all members hold.
        certificate: The votes for the last block.
    """

    genesis: Genesis
    heights: Sequence[HeightResult]
    blocks: tuple[Block, ...]
    certificate: QuorumCertificate

    @property
    def model(self) -> Parameters:
        """The last model."""
        return self.heights[-1].model

    def mean(self, name: str) -> tuple[float, ...]:
        """Return a figure's mean over the members that have it, height by height.

        Raises:
            KeyError: If no member has such a figure.
        """
        columns = [
            [each[name] for each in height.metrics.values() if name in each]
            for height in self.heights
        ]
        if not all(columns):
            raise KeyError(name)
        return tuple(float(np.mean(column)) for column in columns)

    def export(self) -> bytes:
        """Return the ledger as the file that `fednode ledger verify` reads."""
        file = BytesIO()
        write_export(file, iter(self.blocks), self.certificate)
        return file.getvalue()

    def findings(self) -> tuple[str, ...]:
        """Return everything that an audit of the ledger finds wrong, one sentence each."""
        report = audit(self.genesis, self.blocks, self.certificate)
        return tuple(finding_line(each) for each in report.findings)
