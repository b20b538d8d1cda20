"""Read what a contract's model needs from a CSV file, whose rows may have no labels.

Training reads every column and refuses what it does not know (`fednode.learning.csv_file`). Who
predicts has new rows, from another system, and wants those columns that the model was made from.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite, nan
from pathlib import Path

import numpy as np

from fednode.learning.csv_file import FILE_BYTES_MAX
from fednode.learning.data_spec import MISSING
from fednode.learning.errors import DataError
from fednode.learning.label_rule import canonical_category, label_rule
from fednode.learning.rows import Rows
from ledger.genesis import Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a CSV file names its columns; without a header they are `names` or their positions."""

    has_header: bool = True
    names: tuple[str, ...] = ()
    label: str = ""
    positive: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    numeric: dict[str, int]
    categorical: dict[str, int]
    label: int | None


def read_feature_rows(path: Path, contract: Contract, layout: Layout) -> Rows:
    """Return the rows of a file, with those columns that the contract's features need.

    A row without a label, or a file without the label's column, has NaN as label.

    Raises:
        DataError: If the file cannot be read, lacks a column, or a cell is no number.
    """
    lines = _lines(path)
    header = _header(path, lines, layout)
    body = lines[1:] if layout.has_header else lines
    if not body:
        raise DataError(f"{path}: expected rows below the names of the columns, got none")
    places = _places(path, header, contract, layout)
    for number, cells in body:
        if len(cells) != len(header):
            raise DataError(f"{path} line {number} has {len(cells)} cells, expected {len(header)}")
    numbers = [
        [_number(cells[place], f"{path} line {number} column {name!r}")
         for name, place in places.numeric.items()]
        for number, cells in body
    ]  # fmt: skip
    categories = [
        ["" if cells[place] in MISSING else canonical_category(cells[place])
         for place in places.categorical.values()]
        for _, cells in body
    ]  # fmt: skip
    return Rows(
        names=tuple(places.numeric),
        numbers=np.array(numbers, np.float64).reshape(len(body), -1),
        categorical_names=tuple(places.categorical),
        categories=np.array(categories, np.str_).reshape(len(body), -1),
        labels=_labels([cells for _, cells in body], places.label, layout.positive),
        sites=np.array([], np.str_),
    )


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DataError(f"{path} is larger than {FILE_BYTES_MAX} bytes: convert it to npz")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    return [(number, cells) for number, cells in lines if any(cells)]


def _header(path: Path, lines: Sequence[tuple[int, list[str]]], layout: Layout) -> tuple[str, ...]:
    first = next((cells for _, cells in islice(lines, 1)), [])
    if layout.has_header:
        return tuple(first)
    names = layout.names or tuple(str(place) for place in range(len(first)))
    if len(names) != len(first):
        raise DataError(f"{path} has {len(first)} columns, but {len(names)} column names are given")
    return names


def _places(path: Path, header: tuple[str, ...], contract: Contract, layout: Layout) -> _Places:
    numeric: dict[str, int] = {}
    categorical: dict[str, int] = {}
    for feature in contract.data.features:
        column = feature.name.rpartition("=")[0]
        if feature.name in header:
            numeric[feature.name] = header.index(feature.name)
        elif column in header:
            categorical[column] = header.index(column)
        else:
            raise DataError(
                f"{path}: expected a column for the contract's feature {feature.name!r}, got "
                f"{', '.join(header)}; name the columns as the hospitals do"
            )
    label = layout.label or contract.data.label
    return _Places(
        numeric=numeric,
        categorical=categorical,
        label=header.index(label) if label in header else None,
    )


def _number(cell: str, where: str) -> float:
    if cell in MISSING:
        return nan
    try:
        value = float(cell)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise DataError(f"{where} is {cell!r}: expected a finite number or nothing")
    return value


def _labels(
    rows: Sequence[Sequence[str]], place: int | None, positive: str
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    is_positive = label_rule(positive)
    cells = ["" if place is None else cells[place] for cells in rows]
    return np.array([nan if cell in MISSING else float(is_positive(cell)) for cell in cells])
