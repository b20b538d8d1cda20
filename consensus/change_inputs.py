"""Inputs and effects about changes of members and keys (rule P81); in the unions of `effects`."""

from dataclasses import dataclass
from typing import TypeAlias

from ledger.keys import Key, Verified
from ledger.operations import Agreed, Approval, Operation, Ready


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationReceived:
    """A member's approval of an operation arrived (rule P81)."""

    operation: Operation
    approval: Verified[Approval]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyReceived:
    """A pending member says that it has the ledger (rule P81)."""

    ready: Verified[Ready]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationOffered:
    """The own member wants an operation: approve it and tell the others."""

    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationApproved:
    """The own member approves an operation that others brought up, or soon will."""

    operation_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMade:
    """The own member made another key; it signs from the height at which it is in force."""

    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOperations:
    """Make the pending operations durable, instead of those kept before (rule P81)."""

    operations: tuple[Agreed, ...]


Change: TypeAlias = OperationReceived | ReadyReceived | OperationOffered | OperationApproved
"""Inputs about operations; each may open a height (rule P15)."""
ChangeInput: TypeAlias = Change | KeyMade
