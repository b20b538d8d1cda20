"""A contract as plain named terms, and the differences between two of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Final, TypeAlias

from ledger.genesis import NO_FEEDBACK, Contract, Role
from ledger.genesis_rules import fault_tolerance
from ledger.metrics import METRIC_SCALE

Term: TypeAlias = str | int
ADVICE: Final = (
    "If one validator loses its key, this network stops for good: add a validator without data, "
    "such as a university or an ethics board."
)
"""For contracts under which every validator is needed; so it is with three hospitals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One term that two sides see differently; None where a side does not have it."""

    name: str
    left: Term | None
    right: Term | None


def contract_terms(contract: Contract) -> dict[str, Term]:
    """Return every term by its dotted name, bytes as hexadecimal digits.

    Members and features are named by number: `members.0.name`, `data.features.3.mean`.
    """
    return dict(_walk("", contract))


def differences(left: Mapping[str, Term], right: Mapping[str, Term]) -> tuple[Difference, ...]:
    """Return the terms that differ, in the order of `left`, then of `right`."""
    names = (*left, *(name for name in right if name not in left))
    return tuple(
        Difference(name=name, left=left.get(name), right=right.get(name))
        for name in names
        if left.get(name) != right.get(name)
    )


def role_names(roles: int) -> str:
    """Return roles in words.

    Examples:
        >>> role_names(3)
        'trainer, validator'
    """
    names = (str(role.name).lower().replace("_", "-") for role in Role if roles & role)
    return ", ".join(names) or "none"


def feedback_text(contract: Contract) -> str:
    """Return in words how models are judged (rule P16)."""
    terms = contract.feedback
    if terms == NO_FEEDBACK:
        return "none: nobody holds rows out, the last model counts"
    figure = f"{terms.metric} ({terms.better.name.lower()} is better)"
    return (
        f"{figure} on {_share(terms.hold_out)} of the rows; back to the best model after "
        f"{terms.patience} that are worse by more than {terms.tolerance / METRIC_SCALE:g}"
    )


def _share(millionths: int) -> str:
    return f"{100 * millionths / METRIC_SCALE:g} %"


def tolerance_lines(contract: Contract) -> tuple[str, ...]:
    """Return in words what a contract tolerates (rule P83)."""
    can = fault_tolerance(contract)
    lines = [
        f"{_some(can.silent_validators, 'validator')} may be silent: then blocks are still made.",
        f"{_some(can.silent_trainers, 'trainer')} may be silent: then models are still made.",
        f"{_some(can.lying_trainers, 'trainer')} may lie: then models are still sound.",
    ]
    if can.silent_validators == 0:
        lines.append(ADVICE)
    return tuple(lines)


def _some(count: int, what: str) -> str:
    return f"{count or 'No'} {what}{'' if count <= 1 else 's'}"


def _walk(name: str, value: object) -> Iterator[tuple[str, Term]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _walk(
                f"{name}.{field.name}" if name else field.name, getattr(value, field.name)
            )
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _walk(f"{name}.{number}", item)
    elif isinstance(value, bytes):
        yield name, value.hex()
    else:
        assert isinstance(value, int | str), f"{name} has no plain form"
        yield name, value
