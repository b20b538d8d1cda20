"""Errors of aggregation: one class per reaction of the caller."""


class AggregationError(ValueError):
    """Rows, weights or a rule that no aggregate is defined for; the caller let bad input in."""


class PinnedVectorError(RuntimeError):
    """This machine computes another aggregate than all others do; it must not vote."""
