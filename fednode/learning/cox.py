"""Cox's proportional hazards: one output per row, the logarithm of its relative hazard."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError
from fednode.learning.heads import Task

Floats: TypeAlias = NDArray[np.float64]
_LABEL_COLUMNS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialLikelihood:
    """Survival; predicts the logarithm of each row's hazard up to a constant, shape (n,).

    The loss is the negative logarithm of the partial likelihood per event, with Efron's
    approximation for events at the same time. Risk sets are those within the rows given, so the
    loss of a batch is not a share of the loss of all rows; rows without any event have loss 0.

    References:
        Cox, "Regression Models and Life-Tables", JRSS B 1972, equation 12. Efron, "The Efficiency
        of Cox's Likelihood Function for Censored Data", JASA 1977, for ties. Stochastic gradients
        by risk sets within a batch: Kvamme, Borgan and Scheel, JMLR 2019, section 3.
    """

    task: ClassVar[Task] = Task.SURVIVAL
    outputs: ClassVar[int] = 1
    has_bias: ClassVar[bool] = False

    def check_labels(self, labels: Floats) -> None:
        """Check that labels are times of 0 or more and events of 0 or 1, shape (n, 2)."""
        if labels.ndim != _LABEL_COLUMNS or labels.shape[1] != _LABEL_COLUMNS:
            raise DataError(
                f"expected labels of shape (n, 2), time and event, got {labels.shape}: a survival "
                "model needs both columns"
            )
        times, events = labels.T
        if not (np.isfinite(times) & (times >= 0.0)).all():
            raise DataError("expected times of 0 or more as labels, got a negative or missing one")
        if not np.isin(events, (0.0, 1.0)).all():
            raise DataError("expected 1 for an event and 0 for none as labels, got another value")

    def loss(self, outputs: Floats, labels: Floats, weights: Floats | None) -> float:
        """Return the loss per event; there are no row weights, since rows share their risk sets."""
        assert weights is None
        hazard, deaths = outputs[:, 0], labels[:, 1] > 0.0
        if not deaths.any():
            return 0.0
        table = _risk_table(hazard, labels)
        return float((table.log_risk.sum() - hazard[deaths].sum()) / deaths.sum())

    def slope(self, outputs: Floats, labels: Floats, weights: Floats | None) -> Floats:
        """Return the derivative of the loss, shape (n, 1)."""
        assert weights is None
        hazard, deaths = outputs[:, 0], labels[:, 1] > 0.0
        if not deaths.any():
            return np.zeros_like(outputs)
        table = _risk_table(hazard, labels)
        # Row i is at risk at each event time up to its own, and an event of group g counts only
        # 1 - share there. All in logarithms: hazards may differ by hundreds of orders.
        before = np.searchsorted(table.times, labels[:, 0], side="right") - 1
        at_risk = before >= 0
        result = np.zeros_like(hazard)
        passed = np.logaddexp.accumulate(_by_group(-table.log_risk, table.starts))
        result[at_risk] = np.exp(hazard[at_risk] + passed[before[at_risk]])
        with np.errstate(divide="ignore"):  # the first event of a group has no share: log 0
            shares = np.log(table.shares)
        discount = _by_group(shares - table.log_risk, table.starts)
        result[deaths] -= np.exp(hazard[deaths] + discount[before[deaths]])
        result[deaths] -= 1.0
        return np.asarray(result / deaths.sum())[:, np.newaxis]

    def predict(self, outputs: Floats) -> Floats:
        """Return the outputs: the higher, the sooner the event."""
        return outputs[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _RiskTable:
    """Events in the order of their times, those of one time being a group.

    `times` are the distinct event times, `starts` where their groups begin among the events;
    `shares` is l / d for the l-th of the d events of a group, `log_risk` the logarithm of the risk
    set's hazard less that share of the group's.
    """

    times: Floats
    starts: NDArray[np.int64]
    shares: Floats
    log_risk: Floats


def _risk_table(hazard: Floats, labels: Floats) -> _RiskTable:
    times, deaths = labels[:, 0], labels[:, 1] > 0.0
    order = np.argsort(times, kind="stable")
    # Logarithm of the hazard of this row and all later ones, in the order of time.
    later = np.logaddexp.accumulate(hazard[order][::-1])[::-1]
    events = order[deaths[order]]
    distinct, starts, sizes = np.unique(times[events], return_index=True, return_counts=True)
    group = np.repeat(np.arange(len(distinct)), sizes)
    shares = (np.arange(len(events)) - starts[group]) / sizes[group]
    at_risk = later[np.searchsorted(times[order], distinct, side="left")][group]
    dying = np.logaddexp.reduceat(hazard[events], starts)[group]
    log_risk = at_risk + np.log1p(-shares * np.exp(np.minimum(dying - at_risk, 0.0)))
    return _RiskTable(times=distinct, starts=starts, shares=shares, log_risk=log_risk)


def _by_group(values: Floats, starts: NDArray[np.int64]) -> Floats:
    return np.asarray(np.logaddexp.reduceat(values, starts))
