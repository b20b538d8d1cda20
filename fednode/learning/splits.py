"""Divide row indices: a stratified hold-out, and artificial sites with or without label skew."""

import numpy as np
from numpy.typing import NDArray

from fednode.learning.errors import DataError

SPLIT_ATTEMPTS_MAX = 10_000
"""Dirichlet draws before a minimum number of rows per site is given up."""

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
    labels: NDArray[np.float64], split: str, sites: int, minimum: int, rng: np.random.Generator
) -> tuple[Indices, ...]:
    """Return the row indices of each artificial site.

    Args:
        labels: One label per row, shape (n,).
        split: `iid`, or `dirichlet:ALPHA` with ALPHA > 0; the smaller, the more the sites differ.
        sites: Number of sites.
        minimum: Fewest rows per site, at least 1.
        rng: Source of all draws.

    Raises:
        DataError: If the split cannot be read, or no draw gives every site its minimum.
    """
    if sites < 1 or sites * max(minimum, 1) > len(labels):
        raise DataError(
            f"{len(labels)} rows cannot be split into {sites} sites of at least {max(minimum, 1)}: "
            "choose fewer sites or a lower minimum"
        )
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
    return _dirichlet(labels, alpha, sites, max(minimum, 1), rng)


def _dirichlet(
    labels: NDArray[np.float64], alpha: float, sites: int, minimum: int, rng: np.random.Generator
) -> tuple[Indices, ...]:
    """Give each class to the sites in shares drawn from a symmetric Dirichlet distribution.

    Draws again until each site has `minimum` rows, and both classes where the source has them.

    References:
        Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
        Visual Classification", 2019; here a class is divided among sites, as later work does.
    """
    classes = np.unique(labels)
    for _ in range(SPLIT_ATTEMPTS_MAX):
        parts: list[list[Indices]] = [[] for _ in range(sites)]
        for label in classes:
            rows = rng.permutation(np.flatnonzero(labels == label))
            shares = np.cumsum(rng.dirichlet(np.full(sites, alpha)))[:-1]
            for part, share in zip(
                parts, np.split(rows, (shares * len(rows)).astype(int)), strict=True
            ):
                part.append(share)
        if all(min(map(len, part)) > 0 and sum(map(len, part)) >= minimum for part in parts):
            return tuple(np.sort(np.concatenate(part)) for part in parts)
    raise DataError(
        f"no draw of dirichlet:{alpha} gave each of {sites} sites {minimum} rows of both classes: "
        "choose a larger ALPHA, fewer sites or a lower minimum"
    )
