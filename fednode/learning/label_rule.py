"""The rule that says which labels are positive, such as `> 0` or `== malignant`."""

import operator
import re
from collections.abc import Callable
from typing import Final

from fednode.learning.errors import DataError

_RULE: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)?\s*(.+?)\s*")
_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def label_rule(text: str) -> Callable[[str], bool]:
    """Return the function that tells whether a label cell is positive.

    `==`, `!=` and a bare value compare numbers where both sides are numbers, else texts; an empty
    rule accepts only 0 and 1. The function raises `DataError` on a cell that the rule cannot judge.

    Raises:
        DataError: If the rule itself cannot be read.

    Examples:
        >>> is_positive = label_rule("> 0")
        >>> is_positive("2"), is_positive("0")
        (True, False)
    """
    if not text.strip():
        return _binary
    match = _RULE.fullmatch(text)
    if match is None:
        raise DataError(f"the rule for the positive class is {text!r}: expected one like '> 0'")
    name, value = match.group(1) or "==", match.group(2)
    if name in _ORDER:
        compare, bound = _ORDER[name], _number(value, f"the rule for the positive class {text!r}")
        return lambda cell: compare(_number(cell, "the label"), bound)
    same = canonical_category(value)
    return lambda cell: (canonical_category(cell) == same) == (name == "==")


def _binary(cell: str) -> bool:
    value = canonical_category(cell)
    if value not in {"0", "1"}:
        raise DataError(
            f"the label is {cell!r}: expected 0 or 1; give a rule for the positive class, "
            "such as '> 0' or '== yes'"
        )
    return value == "1"


def _number(cell: str, what: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"{what} compares numbers, got {cell!r}") from None


def canonical_category(cell: str) -> str:
    """Return the one spelling of a category: numbers without a needless fraction, else the text.

    Examples:
        >>> canonical_category(" 2.0 "), canonical_category("male")
        ('2', 'male')
    """
    try:
        return f"{float(cell):.12g}"
    except ValueError:
        return cell.strip()
