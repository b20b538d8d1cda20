"""What lying trainers would send if they knew the updates of all others before they sent theirs.

No liar of a test network knows that: bodies of a training round come after its headers. So these
attacks are for measuring rules (`scripts/bench/robustness.py`); they are stronger than what a
network has to expect.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
BISECTIONS: Final = 30


def inner_product_manipulation(honest: Floats, factor: float) -> Floats:
    """Return minus `factor` times the honest mean.

    Args:
        honest: One honest update per row, shape (h, p).
        factor: Strength; with one above `h / f` the plain mean turns around.

    References:
        Xie, Koyejo and Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product
        Manipulation", UAI 2019, section 3.
    """
    return -factor * np.asarray(honest.mean(axis=0))


def a_little_is_enough(honest: Floats, deviations: float) -> Floats:
    """Return the honest mean, moved by some standard deviations in every coordinate.

    Args:
        honest: One honest update per row, shape (h, p).
        deviations: How far; 1.5 is the value used in most comparisons.

    References:
        Baruch, Baruch and Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed
        Learning", NeurIPS 2019, algorithm 3. Deviation: the distance is given, not derived from
        the number of members.
    """
    return np.asarray(honest.mean(axis=0) - deviations * honest.std(axis=0))


def min_max(honest: Floats) -> Floats:
    """Return the honest mean, moved as far as no distance between honest updates gives it away.

    The largest distance to an honest update is at most the largest between two of them.

    Args:
        honest: One honest update per row, shape (h, p).

    References:
        Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks
        and Defenses for Federated Learning", NDSS 2021, section IV-B, along minus the standard
        deviation; the factor by bisection.
    """
    mean, direction = honest.mean(axis=0), -honest.std(axis=0)
    norms = (honest**2).sum(axis=1)
    limit = float((norms[:, None] + norms[None] - 2 * honest @ honest.T).max())

    def is_hidden(factor: float) -> bool:
        sent = mean + factor * direction
        return float(((honest - sent) ** 2).sum(axis=1).max()) <= limit

    low, high = 0.0, 1.0
    while is_hidden(high) and high < 2.0**BISECTIONS:
        high *= 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_hidden(middle) else (low, middle)
    return np.asarray(mean + low * direction)


def mimic(honest: Floats) -> Floats:
    """Return the update of the first honest member, so that its rows count for many.

    Args:
        honest: One honest update per row, shape (h, p).

    References:
        Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via
        Bucketing", ICLR 2022, section 3.2. Deviation: always the same member, not the one that
        differs most.
    """
    return np.array(honest[0])
