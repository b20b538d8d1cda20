"""Numbers that records begin with, and how many members a chain can ever have (rule P2)."""

from enum import IntEnum
from typing import Final

MEMBERS_MAX: Final = 256
"""Member numbers of a chain in all: of founders, of those who joined, of those who left."""


class RecordKind(IntEnum):
    """First item of each record that may stand alone in a file or a message."""

    CONTRACT = 1
    GENESIS = 2
    BLOCK = 3
    CERTIFICATE = 4


class EvidenceKind(IntEnum):
    """First item of each kind of evidence, for the statement that was made twice (rule P45)."""

    UPDATE = 16
    HAVE = 17
    PROPOSAL = 18
    VOTE = 19


class OperationKind(IntEnum):
    """First item of each operation, by which members change who takes part and how (rule P81)."""

    JOIN = 32
    LEAVE = 33
    EVICT = 34
    ROTATE = 35
    TERMS = 36
