"""Which data a member uses and how to read them: plain options, filled by a command or a file."""

from dataclasses import dataclass

MISSING = ("", "?", "NA", "NaN", "nan", "null")
"""Cells that mean a missing value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A source of rows, its columns, and which part of it belongs to the member.

    Columns are named as in the file's header; in a file without one by `column_names`, else by
    their position from 0.

    Attributes:
        source: Path of a `.csv` or `.npz` file, or `sklearn:NAME` (`sklearn:breast_cancer`).
        label: Column of the label; empty means the last one. CSV only.
        positive: Which labels are positive: an operator and a value (`> 0`, `== M`), or a bare
            text. Empty means that labels are 0 and 1 already.
        header: Whether the first line of the CSV file names the columns.
        column_names: Names for the columns of a file without a header.
        drop_columns: Columns that are not used at all.
        categorical: Columns whose values are categories: one indicator per category but the first.
        drop_missing_rows: Leave out rows with a missing value, instead of imputing the mean.
        allow_one_class: Train also when all training rows have the same label. A site may truly see
            such patients only; more often the label or its rule is wrong, so it must be said.
        missing: Cells that mean a missing value.
        site_column: Column (array `sites` in an npz file) that names each row's site.
        split: `iid` or `dirichlet:ALPHA`: divide one source artificially into sites of equal size;
            empty means none.
        sites: Number of sites of the artificial split.
        site: The member's site: a value of `site_column`, or its number from 0 in the split;
            empty means all rows.
        seed: Seed of split and hold-outs; equal at all members that split one source.
        test_source: File with the rows of the common test set, read like `source`.
        test_fraction: Share of the source held out as the common test set before the split.
        hold_out_fraction: Share of the member's rows that it keeps for its own feedback.
    """

    source: str
    label: str = ""
    positive: str = ""
    header: bool = True
    column_names: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    drop_missing_rows: bool = False
    allow_one_class: bool = False
    missing: tuple[str, ...] = MISSING
    site_column: str = ""
    split: str = ""
    sites: int = 1
    site: str = ""
    seed: int = 0
    test_source: str = ""
    test_fraction: float = 0.0
    hold_out_fraction: float = 0.0
