"""Rows as a source gives them: numbers with gaps, categories as text, labels, sites."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The rows of one source or site, before imputation, indicators and standardisation.

    Attributes:
        names: Names of the numeric columns, k of them.
        numbers: Their values, shape (n, k); NaN where one is missing.
        categorical_names: Names of the categorical columns, c of them.
        categories: Their values as text, shape (n, c); empty where one is missing.
        labels: 0 or 1, shape (n,).
        sites: The site of each row, shape (n,), or empty where the source names none.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.float64]
    categorical_names: tuple[str, ...] = ()
    categories: NDArray[np.str_]
    labels: NDArray[np.float64]
    sites: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Rows":
        """Return the rows with these indices, in their order."""
        return Rows(
            names=self.names,
            numbers=self.numbers[indices],
            categorical_names=self.categorical_names,
            categories=self.categories[indices],
            labels=self.labels[indices],
            sites=self.sites[indices] if len(self.sites) else self.sites,
        )
