"""Read a CSV file as rows, with errors that name the line and the column."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fednode.learning.data_spec import DataSpec
from fednode.learning.errors import DataError
from fednode.learning.label_rule import canonical_category, label_rule
from fednode.learning.rows import Rows

FILE_BYTES_MAX = 1 << 30
"""Largest file that is read; a larger one belongs in an npz file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    # Where the wanted columns stand in a line.
    numeric: tuple[tuple[str, int], ...]
    categorical: tuple[tuple[str, int], ...]
    label: int
    site: int | None

    def used(self) -> tuple[int, ...]:
        return tuple(place for _, place in (*self.numeric, *self.categorical))


def read_csv(path: Path, spec: DataSpec) -> Rows:
    """Return the rows of a CSV file as `spec` describes them.

    Rows without a label, and with `drop_missing_rows` rows with any missing value, are left out.

    Raises:
        DataError: If the file cannot be read, a named column does not exist, a line has another
            number of cells, or a cell is not a number where one is expected.
    """
    lines = list(_lines(path))
    if not lines:
        raise DataError(f"{path} is empty: expected one row per line, cells separated by commas")
    names = _column_names(lines[0][1], path, spec)
    columns = _place_columns(names, path, spec)
    kept = [
        (number, cells)
        for number, cells in (lines[1:] if spec.header else lines)
        if _is_kept(cells, number, columns, (path, len(names), spec))
    ]
    if not kept:
        raise DataError(f"{path} has no rows left after rows with missing values were left out")
    return _build_rows(kept, columns, path, spec)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DataError(f"{path} is larger than {FILE_BYTES_MAX} bytes: convert it to npz")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _column_names(first: Sequence[str], path: Path, spec: DataSpec) -> tuple[str, ...]:
    if spec.header:
        names = tuple(first)
    else:
        names = spec.column_names or tuple(str(place) for place in range(len(first)))
    if len(names) != len(first):
        raise DataError(f"{path} has {len(first)} columns, but {len(names)} column names are given")
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{path} names columns twice: {', '.join(twice)}; is its header missing?")
    return names


def _place_columns(names: tuple[str, ...], path: Path, spec: DataSpec) -> _Columns:
    label = spec.label or names[-1]
    named = [label, *spec.drop_columns, *spec.categorical]
    if spec.site_column:
        named.append(spec.site_column)
    unknown = [name for name in named if name not in names]
    if unknown:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, unknown))}: it has {', '.join(names)}"
        )
    unused = {label, spec.site_column, *spec.drop_columns}
    return _Columns(
        numeric=tuple(
            (name, place)
            for place, name in enumerate(names)
            if name not in unused and name not in spec.categorical
        ),
        categorical=tuple(
            (name, names.index(name)) for name in spec.categorical if name not in unused
        ),
        label=names.index(label),
        site=names.index(spec.site_column) if spec.site_column else None,
    )


def _is_kept(
    cells: list[str], line: int, columns: _Columns, expected: tuple[Path, int, DataSpec]
) -> bool:
    path, width, spec = expected
    if len(cells) != width:
        raise DataError(f"{path} line {line} has {len(cells)} cells, expected {width}")
    if cells[columns.label] in spec.missing:
        return False
    has_gap = any(cells[place] in spec.missing for place in columns.used())
    return not (has_gap and spec.drop_missing_rows)


def _build_rows(
    lines: list[tuple[int, list[str]]], columns: _Columns, path: Path, spec: DataSpec
) -> Rows:
    is_positive = label_rule(spec.positive)
    numbers = np.empty((len(lines), len(columns.numeric)))
    categories: list[list[str]] = []
    labels = np.empty(len(lines))
    for row, (line, cells) in enumerate(lines):
        for column, (name, place) in enumerate(columns.numeric):
            try:
                numbers[row, column] = _number(cells[place], spec)
            except ValueError:
                raise DataError(
                    f"{path} line {line} column {name!r} is {cells[place]!r}: expected a finite "
                    "number; name the column as categorical, drop it, or list the text as missing"
                ) from None
        categories.append([_category(cells[place], spec) for _, place in columns.categorical])
        try:
            labels[row] = is_positive(cells[columns.label])
        except DataError as error:
            raise DataError(f"{path} line {line}: {error}") from error
    has_sites = columns.site is not None
    return Rows(
        names=tuple(name for name, _ in columns.numeric),
        numbers=numbers,
        categorical_names=tuple(name for name, _ in columns.categorical),
        categories=np.array(categories, dtype=np.str_).reshape(len(lines), -1),
        labels=labels,
        sites=np.array([c[columns.site or 0] for _, c in lines] if has_sites else [], np.str_),
    )


def _number(cell: str, spec: DataSpec) -> float:
    if cell in spec.missing:
        return np.nan
    value = float(cell)
    if not np.isfinite(value):
        raise ValueError(cell)
    return value


def _category(cell: str, spec: DataSpec) -> str:
    return "" if cell in spec.missing else canonical_category(cell)
