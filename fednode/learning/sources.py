"""Read rows from any source: a CSV file, an npz file, or a data set bundled with scikit-learn."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fednode.learning.csv_file import read_csv
from fednode.learning.data_spec import DataSpec
from fednode.learning.errors import DataError
from fednode.learning.label_rule import label_rule
from fednode.learning.rows import Rows

BUNDLED: Final = "sklearn:"
"""Prefix of the sources that scikit-learn brings along."""
_BUNDLED_NAMES: Final = ("breast_cancer", "digits", "iris", "wine")


def read_rows(source: str, spec: DataSpec) -> Rows:
    """Return the rows of `source`, its columns described by `spec`.

    Raises:
        DataError: If the source cannot be read as described.
    """
    if source.startswith(BUNDLED):
        rows = _read_bundled(source.removeprefix(BUNDLED), spec)
    elif source.endswith(".npz"):
        rows = _read_npz(Path(source), spec)
    else:
        rows = read_csv(Path(source), spec)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Arrays:
    # What npz files and bundled data sets have in common; `sites` is None without a site column.
    features: NDArray[np.generic]
    labels: NDArray[np.generic]
    names: tuple[str, ...]
    sites: NDArray[np.generic] | None = None


def _read_bundled(name: str, spec: DataSpec) -> Rows:
    if name not in _BUNDLED_NAMES:
        raise DataError(
            f"there is no bundled data set {name!r}: choose one of {', '.join(_BUNDLED_NAMES)}"
        )
    try:
        # Loaded only when it is asked for: importing scikit-learn takes about a second.
        datasets = import_module("sklearn.datasets")
    except ImportError:
        raise DataError(
            f"{BUNDLED}{name} needs scikit-learn: install it with pip install 'fednode[sklearn]'"
        ) from None
    bunch = getattr(datasets, f"load_{name}")()
    arrays = _Arrays(
        features=bunch["data"],
        labels=bunch["target"],
        names=tuple(map(str, bunch["feature_names"])),
    )
    return _from_arrays(f"{BUNDLED}{name}", arrays, spec)


def _read_npz(path: Path, spec: DataSpec) -> Rows:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            contents = {name: archive[name] for name in getattr(archive, "files", ())}
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    missing = {"features", "labels", spec.site_column or "labels"} - contents.keys()
    if missing:
        raise DataError(
            f"{path} has no array {', '.join(sorted(missing))}: "
            f"it has {', '.join(contents) or 'none'}"
        )
    features = contents["features"]
    width = features.shape[-1] if features.ndim else 0
    names = contents.get("feature_names", np.arange(width))
    arrays = _Arrays(
        features=features,
        labels=contents["labels"],
        names=tuple(map(str, names)),
        sites=contents[spec.site_column] if spec.site_column else None,
    )
    return _from_arrays(str(path), arrays, spec)


def _from_arrays(source: str, arrays: _Arrays, spec: DataSpec) -> Rows:
    _check_arrays(source, arrays, spec)
    is_positive = label_rule(spec.positive)
    kept = [place for place, name in enumerate(arrays.names) if name not in spec.drop_columns]
    numbers = arrays.features[:, kept].astype(np.float64)
    infinite = np.argwhere(np.isinf(numbers))
    if len(infinite):
        row, column = infinite[0]
        raise DataError(f"{source} row {row} column {arrays.names[kept[column]]!r} is infinite")
    rows = Rows(
        names=tuple(arrays.names[place] for place in kept),
        numbers=numbers,
        categories=np.empty((len(numbers), 0), dtype=np.str_),
        labels=np.array([is_positive(str(label)) for label in arrays.labels], dtype=np.float64),
        sites=np.array([] if arrays.sites is None else arrays.sites, dtype=np.str_),
    )
    if not spec.drop_missing_rows:
        return rows
    return rows.take(np.flatnonzero(~np.isnan(numbers).any(axis=1)))


def _check_arrays(source: str, arrays: _Arrays, spec: DataSpec) -> None:
    features, labels = arrays.features, arrays.labels
    if labels.ndim != 1 or features.shape != (len(labels), len(arrays.names)):
        raise DataError(
            f"{source}: features have shape {features.shape} and labels {labels.shape}: expected "
            f"(rows, {len(arrays.names)}) and (rows,)"
        )
    if features.dtype.kind not in "biuf":
        raise DataError(f"{source}: features are {features.dtype}, expected numbers")
    if arrays.sites is not None and arrays.sites.shape != labels.shape:
        raise DataError(
            f"{source}: the sites have shape {arrays.sites.shape}, expected {labels.shape}"
        )
    if spec.categorical:
        raise DataError(f"{source}: categorical columns can be read from CSV files only")
    unknown = [name for name in spec.drop_columns if name not in arrays.names]
    if unknown:
        raise DataError(
            f"{source} has no column {', '.join(map(repr, unknown))}: "
            f"it has {', '.join(arrays.names)}"
        )
