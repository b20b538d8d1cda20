"""One pinned aggregation that every node recomputes before it votes."""

from hashlib import sha256, shake_256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fednode.aggregation.errors import PinnedVectorError
from fednode.aggregation.gram import gram_matrix
from fednode.aggregation.rules import RULES, RuleSpec, aggregate
from ledger.records import VALUE_MAX

ROWS: Final = 7
COLUMNS: Final = 20_011
"""Several blocks of columns of the Gram matrix, the last one not full."""
RULE_COLUMNS: Final = 4_999
"""The same for the rules, which are many: a node waits for this when it starts."""
WEIGHTS: Final = (1, 300, 40_000, 0, 7, 2**40, 2**39)
PINNED: Final = "d94a05e39d0b05e31818994d996a034dea59286d88675dbc7b09fd07a1615535"
"""SHA-256 of the Gram matrices and all rules' results on the pinned rows, in hexadecimal."""


def check_pinned_vector() -> None:
    """Recompute every rule on pinned rows and refuse to go on with another result.

    Raises:
        PinnedVectorError: If this machine's libraries compute another aggregate.
    """
    found = pinned_digest()
    if found != PINNED:
        raise PinnedVectorError(
            f"expected the pinned aggregation to have SHA-256 {PINNED}, got {found}: numpy or its "
            "BLAS library computes wrong integers here; install an official numpy wheel"
        )


def pinned_digest() -> str:
    """Return the SHA-256 of the tables, aggregates and flags of the pinned rows, in hexadecimal."""
    wide = _pinned_rows()
    narrow = tuple(row >> 6 for row in wide)  # fits one limb of the Gram matrix
    digest = sha256()
    for rows in (wide, narrow):
        # An inexact sum changes the table at once, but an aggregate only now and then.
        digest.update(repr(gram_matrix(rows)).encode())
    for rule_id in sorted(RULES):
        for rows, weights in ((wide, WEIGHTS), (narrow, (1,) * ROWS)):
            part = [row[:RULE_COLUMNS] for row in rows]
            result = aggregate(RuleSpec(rule_id=rule_id, f=2), part, weights)
            digest.update(rule_id.encode())
            digest.update(result.delta.astype("<i4").tobytes())
            digest.update(bytes(result.flags))
    return digest.hexdigest()


def _pinned_rows() -> tuple[NDArray[np.int32], ...]:
    # Integers from a hash, not from a generator whose stream a library may change. Full range, a
    # common part, one far row and one narrow row, so that both flags occur.
    octets = shake_256(b"fednode/aggregation/pinned/1").digest(4 * ROWS * COLUMNS)
    noise = np.frombuffer(octets, "<u4").reshape(ROWS, COLUMNS).astype(np.int64)
    noise = noise % (2 * VALUE_MAX + 1) - VALUE_MAX
    common = noise[0] >> 1
    rows = [common + (noise[index] >> (4 + index)) for index in range(ROWS - 1)]
    rows.append(-2 * common)
    return tuple(np.clip(row, -VALUE_MAX, VALUE_MAX).astype(np.int32) for row in rows)
