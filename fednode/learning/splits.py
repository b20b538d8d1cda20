"""Divide row indices: a stratified hold-out, and artificial sites with or without label skew."""

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError

DRAWS_MAX = 200
"""Draws before a label-skewed split with every class at every site is given up."""
FITTING_STEPS = 200
"""Steps of proportional fitting; what is left of unequal sizes after them is harmless."""
SHARE_MIN = 1e-12
"""Smallest share of a class, so that fitting never divides by zero."""

Indices = NDArray[np.int64]


def hold_out(
    labels: NDArray[np.float64], fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Return the indices that are kept and those held out, each class in the same share.

    Args:
        labels: One label per row, shape (n,).
        fraction: Share of the rows to hold out, in (0, 1); at least one of each class is kept.
        rng: Source of the order within each class.

    Raises:
        DataError: If the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(
            f"the share of rows to hold out is {fraction}: expected more than 0 and less than 1"
        )
    kept: list[Indices] = []
    held: list[Indices] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        cut = min(round(fraction * len(rows)), len(rows) - 1)
        held.append(rows[:cut])
        kept.append(rows[cut:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))


def split_sites(
    labels: NDArray[np.float64], split: str, sites: int, rng: np.random.Generator
) -> tuple[Indices, ...]:
    """Return the row indices of each artificial site; all sites have about equally many rows.

    Args:
        labels: One label per row, shape (n,).
        split: `iid`, or `dirichlet:ALPHA` with ALPHA > 0; the smaller, the more the mixtures of
            labels differ from site to site. Every site has rows of each class.
        sites: Number of sites.
        rng: Source of all draws.

    Raises:
        DataError: If the split cannot be read, or there are too few rows for it.
    """
    if not 1 <= sites <= len(labels):
        raise DataError(f"{len(labels)} rows cannot be split into {sites} sites")
    name, _, argument = split.partition(":")
    if name == "iid" and not argument:
        order = rng.permutation(len(labels))
        return tuple(np.sort(part) for part in np.array_split(order, sites))
    if name != "dirichlet":
        raise DataError(f"there is no split {split!r}: choose iid or dirichlet:ALPHA")
    try:
        alpha = float(argument)
    except ValueError:
        alpha = 0.0
    if not 0.0 < alpha < np.inf:
        raise DataError(f"the split is {split!r}: expected a number above 0, as in dirichlet:0.5")
    return _split_by_label(labels, alpha, sites, rng)


def _split_by_label(
    labels: NDArray[np.float64], alpha: float, sites: int, rng: np.random.Generator
) -> tuple[Indices, ...]:
    classes, counts = np.unique(labels, return_counts=True)
    for _ in range(DRAWS_MAX):
        targets = _skewed_table(counts, alpha, sites, rng)
        parts: list[list[Indices]] = [[] for _ in range(sites)]
        for column, label in enumerate(classes):
            rows = rng.permutation(np.flatnonzero(labels == label))
            cuts = np.rint(np.cumsum(targets[:-1, column])).astype(np.int64)
            for part, share in zip(parts, np.split(rows, cuts), strict=True):
                part.append(share)
        if all(len(share) for part in parts for share in part):
            return tuple(np.sort(np.concatenate(part)) for part in parts)
    raise DataError(
        f"no draw of dirichlet:{alpha:g} gave each of {sites} sites rows of every class: "
        "choose a larger ALPHA or fewer sites"
    )


def _skewed_table(
    counts: NDArray[np.int64], alpha: float, sites: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how many rows of each class each site should get, shape (sites, classes).

    Each class is shared out by a draw from a symmetric Dirichlet distribution; the table is then
    scaled by rows and columns in turn until every site has equally many rows.

    References:
        Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
        Visual Classification", 2019, section 3.1: sites of equal size with Dirichlet label
        mixtures. Deviation: the draw is over sites for each class, and proportional fitting (Deming
        and Stephan, 1940) makes it use every row once.
    """
    draws = [rng.dirichlet(np.full(sites, alpha)) for _ in counts]
    table: NDArray[np.float64] = np.maximum(np.stack(draws, axis=1), SHARE_MIN) * counts
    size = counts.sum() / sites
    for _ in range(FITTING_STEPS):
        table *= size / table.sum(axis=1, keepdims=True)
        table *= counts / table.sum(axis=0)
    return table
