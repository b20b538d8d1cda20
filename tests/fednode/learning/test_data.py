"""Reading rows: CSV, npz and bundled sources, and what is said about files that do not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fednode.learning.data_spec import DataSpec
from fednode.learning.dataset import Dataset
from fednode.learning.errors import DataError
from fednode.learning.label_rule import canonical_category, label_rule
from fednode.learning.rows import Rows
from fednode.learning.sources import read_rows
from tests.conftest import RequireData
from tests.fednode.learning.builders import save_npz, separable

TABLE = """age,sex,stage,clinic,sick
50,1,II,north,0
,0,I,south,2
71,?,II,north,1
44,1,,south,0
"""


def write(folder: Path, text: str, name: str = "rows.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def read(folder: Path, text: str, spec: DataSpec) -> Rows:
    return read_rows(write(folder, text), spec)


SPEC = DataSpec(
    source="", label="sick", positive="> 0", categorical=("stage",), site_column="clinic"
)


def test_csv_gives_numbers_categories_labels_and_sites(tmp_path: Path) -> None:
    rows = read(tmp_path, TABLE, SPEC)

    assert rows.names == ("age", "sex")
    np.testing.assert_array_equal(
        rows.numbers, [[50.0, 1.0], [np.nan, 0.0], [71.0, np.nan], [44.0, 1.0]]
    )
    assert rows.categories[:, 0].tolist() == ["II", "I", "II", ""]
    assert rows.labels.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert rows.sites.tolist() == ["north", "south", "north", "south"]


def test_rows_with_a_missing_value_are_left_out_on_demand(tmp_path: Path) -> None:
    rows = read(tmp_path, TABLE, replace(SPEC, drop_missing_rows=True))

    assert rows.numbers.tolist() == [[50.0, 1.0]]


def test_a_gap_in_a_dropped_column_does_not_cost_the_row(tmp_path: Path) -> None:
    spec = DataSpec(
        source="", label="sick", positive="> 0", drop_missing_rows=True,
        drop_columns=("age", "stage", "clinic"),
    )  # fmt: skip

    assert len(read(tmp_path, TABLE, spec)) == 3


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    rows = read(tmp_path, "a,y\n1,0\n2,?\n3,1\n", DataSpec(source=""))

    assert rows.numbers[:, 0].tolist() == [1.0, 3.0]


def test_columns_of_a_file_without_header_are_named_by_position(tmp_path: Path) -> None:
    spec = DataSpec(source="", header=False, label="0", drop_columns=("2",))

    rows = read(tmp_path, "1,5,x\n0,6,y\n", spec)

    assert rows.names == ("1",)
    assert rows.labels.tolist() == [1.0, 0.0]


def test_columns_of_a_file_without_header_can_be_given_names(tmp_path: Path) -> None:
    spec = DataSpec(source="", header=False, column_names=("dose", "sick"))

    assert read(tmp_path, "1.5,0\n2,1\n", spec).names == ("dose",)


def test_blank_lines_and_a_byte_order_mark_are_not_data(tmp_path: Path) -> None:
    rows = read(tmp_path, "\ufeffa,y\n1,0\n\n , \n2,1\n", DataSpec(source=""))

    assert rows.names == ("a",)
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        (TABLE, replace(SPEC, label="ill"), "no column 'ill': it has age, sex, stage, clinic"),
        (TABLE, replace(SPEC, drop_columns=("x", "y")), "no column 'x', 'y'"),
        (TABLE, replace(SPEC, site_column="ward"), "no column 'ward'"),
        (TABLE, replace(SPEC, categorical=("grade",)), "no column 'grade'"),
        (TABLE, replace(SPEC, categorical=()), r"line 2 column 'stage' is 'II': expected a finite"),
        ("a,y\n1,0\ninf,1\n", DataSpec(source=""), r"line 3 column 'a' is 'inf'"),
        ("a,y\n1,0\n2\n", DataSpec(source=""), r"line 3 has 1 cells, expected 2"),
        ("a,y\n1,0\n2,2\n", DataSpec(source=""), r"line 3: the label is '2': expected 0 or 1"),
        ("a,y\n1,x\n", DataSpec(source="", positive="> 0"), r"line 2: the label compares numbers"),
        ("a,a,y\n1,1,0\n", DataSpec(source=""), "names columns twice: a"),
        ("", DataSpec(source=""), "is empty"),
        ("a,y\n?,0\n", DataSpec(source="", drop_missing_rows=True), "no rows left"),
        ("1,0\n", DataSpec(source="", header=False, column_names=("a",)), "has 2 columns, but 1"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_reason(
    tmp_path: Path, text: str, spec: DataSpec, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text, spec)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.csv"):
        read_rows(str(tmp_path / "none.csv"), DataSpec(source=""))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a,y\n\xff\xfe,0\n")

    with pytest.raises(DataError, match="cannot read"):
        read_rows(str(tmp_path / "rows.csv"), DataSpec(source=""))


@pytest.mark.parametrize(
    ("rule", "cell", "expected"),
    [
        ("> 0", "3", True),
        (">= 2", "2", True),
        ("< 2", "2", False),
        ("<=2", "2", True),
        ("== M", "M", True),
        ("!= M", "M", False),
        ("M", "B", False),
        ("== 1", "1.0", True),
        ("", "1", True),
        ("", "0.0", False),
    ],
)
def test_label_rule_compares_as_written(rule: str, cell: str, *, expected: bool) -> None:
    assert label_rule(rule)(cell) is expected


def test_label_rule_that_compares_with_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="compares numbers, got 'high'"):
        label_rule("> high")


def test_a_category_has_one_spelling() -> None:
    assert [canonical_category(text) for text in ("2", "2.0", " 2.50", "b ")] == [
        "2", "2", "2.5", "b",
    ]  # fmt: skip


def test_npz_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    data = separable(features=2)
    save_npz(tmp_path / "site.npz", data)

    rows = read_rows(str(tmp_path / "site.npz"), DataSpec(source=""))

    assert rows.names == ("x0", "x1")
    assert np.array_equal(rows.numbers, data.features)
    assert np.array_equal(rows.labels, data.labels)


def test_npz_takes_rules_dropped_columns_missing_values_and_sites(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        features=np.array([[1, 2], [3, np.nan], [5, 6]]),
        labels=np.array([0, 3, 3]),
        clinic=np.array(["n", "s", "s"]),
    )
    spec = DataSpec(source="", positive="> 0", site_column="clinic", drop_missing_rows=True)

    rows = read_rows(str(tmp_path / "a.npz"), spec)
    narrow = read_rows(str(tmp_path / "a.npz"), replace(spec, drop_columns=("1",)))

    assert (rows.labels.tolist(), rows.sites.tolist()) == ([0.0, 1.0], ["n", "s"])
    assert (narrow.names, narrow.numbers.tolist()) == (("0",), [[1.0], [3.0], [5.0]])


@pytest.mark.parametrize(
    ("arrays", "spec", "message"),
    [
        ({"features": np.ones((2, 1))}, DataSpec(source=""), "no array labels: it has features"),
        (
            {"features": np.ones((2, 1)), "labels": np.ones(2)},
            DataSpec(source="", site_column="clinic"),
            "no array clinic",
        ),
        ({"features": np.ones(2), "labels": np.ones(2)}, DataSpec(source=""), r"shape \(2,\)"),
        (
            {"features": np.array([["a"]]), "labels": np.ones(1)},
            DataSpec(source=""),
            "expected numbers",
        ),
        (
            {"features": np.array([[1.0], [np.inf]]), "labels": np.ones(2)},
            DataSpec(source=""),
            "row 1 column '0' is infinite",
        ),
        (
            {"features": np.ones((1, 1)), "labels": np.ones(1)},
            DataSpec(source="", drop_columns=("age",)),
            "no column 'age': it has 0",
        ),
    ],
)
def test_npz_that_does_not_fit_is_refused_with_its_reason(
    tmp_path: Path, arrays: dict[str, np.ndarray], spec: DataSpec, message: str
) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=False, **arrays)

    with pytest.raises(DataError, match=message):
        read_rows(str(tmp_path / "a.npz"), spec)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_npz_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)

    with pytest.raises(DataError, match="cannot read"):
        read_rows(str(tmp_path / "a.npz"), DataSpec(source=""))


def test_npz_never_unpickles_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.array([[print]], dtype=object), labels=np.zeros(1))

    with pytest.raises(DataError, match="cannot read"):
        read_rows(str(tmp_path / "a.npz"), DataSpec(source=""))


def test_bundled_breast_cancer_has_569_rows_of_30_features() -> None:
    rows = read_rows("sklearn:breast_cancer", DataSpec(source=""))

    assert rows.numbers.shape == (569, 30)
    assert rows.names[0] == "mean radius"
    assert rows.labels.sum() == 357


def test_unknown_bundled_data_are_refused_with_the_known_names() -> None:
    with pytest.raises(DataError, match="no bundled data set 'mnist': choose one of breast_cancer"):
        read_rows("sklearn:mnist", DataSpec(source=""))


def test_importing_the_sources_does_not_import_scikit_learn() -> None:
    import subprocess
    import sys

    code = "import sys, fednode.learning.job; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_pima_file_without_header_is_read_whole(require_data: RequireData) -> None:
    source = require_data("pima") / "pima-indians-diabetes.csv"

    rows = read_rows(str(source), DataSpec(source="", header=False))

    assert rows.numbers.shape == (768, 8)
    assert rows.labels.sum() == 268


def test_taking_rows_of_a_data_set_keeps_their_labels() -> None:
    data = Dataset(
        features=np.array([[1.0], [2.0]]), labels=np.array([0.0, 1.0]), feature_names=("x",)
    )

    assert data.take(np.array([1])).labels.tolist() == [1.0]
