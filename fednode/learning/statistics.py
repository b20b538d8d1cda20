"""Common preprocessing without sharing rows: each site's counts and sums, and what they add up to.

A site publishes per numeric column the count, sum and sum of squares of its training rows, and per
categorical column how often each category occurs. Exact fractions add them up, so that the result
depends neither on the order of sites nor on the machine.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import fsum, sqrt

import numpy as np

from fednode.learning.errors import DataError
from fednode.learning.rows import Rows
from ledger.genesis import Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericStatistics:
    """Count, sum and sum of squares of the values of one column that are not missing."""

    name: str
    count: int
    total: float
    squares: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryStatistics:
    """How often each category of one column occurs, in the order of their names."""

    name: str
    occurrences: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatistics:
    """What one site tells the others about its training rows; `rows` goes into the contract."""

    rows: int
    numeric: tuple[NumericStatistics, ...]
    categorical: tuple[CategoryStatistics, ...]


def site_statistics(rows: Rows) -> SiteStatistics:
    """Return the statistics of one site's training rows.

    Raises:
        DataError: If there are no rows.
    """
    if not len(rows):
        raise DataError("a site without training rows has no statistics: check its file and split")
    numeric = []
    for column, name in enumerate(rows.names):
        values = rows.numbers[:, column]
        present = values[~np.isnan(values)].tolist()
        numeric.append(
            NumericStatistics(
                name=name,
                count=len(present),
                total=fsum(present),
                squares=fsum(value * value for value in present),
            )
        )
    categorical = []
    for column, name in enumerate(rows.categorical_names):
        categories, counts = np.unique(rows.categories[:, column], return_counts=True)
        pairs = zip(categories.tolist(), counts.tolist(), strict=True)
        categorical.append(
            CategoryStatistics(
                name=name, occurrences=tuple((text, count) for text, count in pairs if text)
            )
        )
    return SiteStatistics(rows=len(rows), numeric=tuple(numeric), categorical=tuple(categorical))


def combine(sites: tuple[SiteStatistics, ...]) -> tuple[Feature, ...]:
    """Return the model's inputs with their common means and scales, as in the contract.

    Numeric columns come first, then one indicator `column=category` for each category of any site
    but the first, which all indicators at zero stand for. The scale is the standard deviation over
    all sites (of the population), or 1 where a feature is constant.

    Raises:
        DataError: If sites have different columns, or a column has no value at any site.
    """
    first = sites[0]
    shape = _columns(first)
    for number, site in enumerate(sites):
        if _columns(site) != shape:
            raise DataError(
                f"site {number} has the columns {', '.join(_columns(site))}, "
                f"site 0 has {', '.join(shape)}: all sites need the same"
            )
    features = [
        _feature([site.numeric[column] for site in sites]) for column in range(len(first.numeric))
    ]
    for column in range(len(first.categorical)):
        features.extend(_indicators([site.categorical[column] for site in sites]))
    return tuple(features)


def _columns(site: SiteStatistics) -> tuple[str, ...]:
    return (
        *(column.name for column in site.numeric),
        *(f"{column.name} (categories)" for column in site.categorical),
    )


def _indicators(columns: list[CategoryStatistics]) -> list[Feature]:
    counts = [dict(column.occurrences) for column in columns]
    categories = sorted({text for site in counts for text in site}, key=_category_order)
    if not categories:
        raise DataError(f"column {columns[0].name!r} has no value at any site: drop it")
    return [
        _feature(
            [
                NumericStatistics(
                    name=f"{columns[0].name}={category}",
                    count=sum(site.values()),
                    total=float(site.get(category, 0)),
                    squares=float(site.get(category, 0)),
                )
                for site in counts
            ]
        )
        for category in categories[1:]
    ]


def _category_order(text: str) -> tuple[bool, float, str]:
    # Numbers by value, before texts by their characters.
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _feature(columns: list[NumericStatistics]) -> Feature:
    count = sum(column.count for column in columns)
    if count == 0:
        raise DataError(f"column {columns[0].name!r} has no value at any site: drop it")
    mean = sum(Fraction(column.total) for column in columns) / count
    variance = sum(Fraction(column.squares) for column in columns) / count - mean * mean
    # Squares are rounded once each: below this the spread is rounding noise, not data.
    is_constant = variance <= mean * mean / 2**48
    scale = 1.0 if is_constant else sqrt(variance)
    return Feature(name=columns[0].name, mean=repr(float(mean)), scale=repr(scale))
