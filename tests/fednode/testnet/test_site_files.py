"""A site's file holds exactly its rows: what is written is what a node reads."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.learning.errors import DataError
from fednode.learning.rows import Rows
from fednode.learning.sources import read_rows
from fednode.testnet.site_files import data_section, write_rows

NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(float("nan")))
CATEGORIES = st.sampled_from(["", "1", "2.5", "male", 'a "b", c', "ä"])


def rows_of(numbers: list[tuple[float, float]], categories: list[str], labels: list[int]) -> Rows:
    return Rows(
        names=("age", "a, b"),
        numbers=np.array(numbers, dtype=np.float64).reshape(-1, 2),
        categorical_names=("sex",),
        categories=np.array(categories, dtype=np.str_).reshape(-1, 1),
        labels=np.array(labels, dtype=np.float64),
        sites=np.array([], dtype=np.str_),
    )


@given(
    table=st.lists(
        st.tuples(st.tuples(NUMBERS, NUMBERS), CATEGORIES, st.integers(0, 1)),
        min_size=1,
        max_size=8,
    )
)
def test_rows_that_were_written_are_read_again(
    table: list[tuple[tuple[float, float], str, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rows = rows_of([row[0] for row in table], [row[1] for row in table], [row[2] for row in table])
    path = tmp_path_factory.mktemp("site") / "rows.csv"

    write_rows(path, rows)

    again = read_rows(str(path), data_section(path, ("sex",)).spec())
    assert again.names == rows.names
    np.testing.assert_array_equal(again.numbers, rows.numbers)
    np.testing.assert_array_equal(again.categories, rows.categories)
    np.testing.assert_array_equal(again.labels, rows.labels)


def test_column_that_is_called_like_the_label_is_refused(tmp_path: Path) -> None:
    rows = Rows(
        names=("label",),
        numbers=np.zeros((1, 1)),
        categories=np.zeros((1, 0), dtype=np.str_),
        labels=np.zeros(1),
        sites=np.array([], dtype=np.str_),
    )

    with pytest.raises(DataError, match="a column of the data is called 'label'"):
        write_rows(tmp_path / "rows.csv", rows)
