"""Turn rows into a model's input by the contract's features: impute, indicate, standardise."""

import numpy as np
from numpy.typing import NDArray

from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError
from fednode.learning.rows import Rows
from ledger.genesis import Feature


def preprocess(rows: Rows, features: tuple[Feature, ...]) -> Dataset:
    """Return `(value - mean) / scale` of each feature; a missing value becomes 0, the mean.

    A category without an indicator counts as the first category, whose indicators are all zero.

    Raises:
        DataError: If the rows lack a column that a feature needs, or a feature's mean or scale is
            not a number.
    """
    values = np.empty((len(rows), len(features)))
    for place, feature in enumerate(features):
        mean, scale = _numbers(feature)
        values[:, place] = (_raw(rows, feature.name) - mean) / scale
    return Dataset(
        features=np.nan_to_num(values, nan=0.0),
        labels=rows.labels,
        feature_names=tuple(feature.name for feature in features),
    )


def _numbers(feature: Feature) -> tuple[float, float]:
    try:
        mean, scale = float(feature.mean), float(feature.scale)
    except ValueError:
        mean, scale = np.nan, np.nan
    if not (np.isfinite(mean) and np.isfinite(scale) and scale > 0.0):
        raise DataError(
            f"feature {feature.name!r} has mean {feature.mean!r} and scale {feature.scale!r}: "
            "expected decimal numbers, the scale above 0"
        )
    return mean, scale


def _raw(rows: Rows, name: str) -> NDArray[np.float64]:
    if name in rows.names:
        return rows.numbers[:, rows.names.index(name)]
    column, separator, category = name.rpartition("=")
    if separator and column in rows.categorical_names:
        cells = rows.categories[:, rows.categorical_names.index(column)]
        return np.where(cells == "", np.nan, (cells == category).astype(np.float64))
    known = (*rows.names, *(f"{column} (categories)" for column in rows.categorical_names))
    raise DataError(
        f"the contract's feature {name!r} is not in the data, which have {', '.join(known)}"
    )
