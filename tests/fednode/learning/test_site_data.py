"""From one specification to each site's rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fednode.learning.data_spec import DataSpec
from fednode.learning.errors import DataError
from fednode.learning.presets import DEMO
from fednode.learning.site_data import load_site, load_sites, site_datasets
from fednode.learning.statistics import combine, site_statistics

DEMO_SPEC = DEMO.data


def write_sites(folder: Path) -> DataSpec:
    lines = ["x,clinic,sick"]
    lines += [f"{row},{'north' if row < 8 else 'south'},{row % 2}" for row in range(12)]
    path = folder / "rows.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return DataSpec(source=str(path), site_column="clinic")


def test_test_rows_are_taken_before_the_split_and_common_to_all_sites() -> None:
    sites = load_sites(DEMO_SPEC)

    training = np.concatenate([site.training.numbers for site in sites])
    test = sites[0].test
    assert test is not None
    assert (len(training), len(test)) == (456, 113)
    assert all(site.test is test for site in sites)
    assert not {row.tobytes() for row in training} & {row.tobytes() for row in test.numbers}


def test_a_member_loads_the_same_rows_as_the_whole_split() -> None:
    sites = load_sites(DEMO_SPEC)

    own = load_site(replace(DEMO_SPEC, site="3"))

    assert np.array_equal(own.training.numbers, sites[3].training.numbers)


def test_a_hold_out_does_not_change_the_split() -> None:
    plain = load_site(replace(DEMO_SPEC, site="0"))
    with_own = load_site(replace(DEMO_SPEC, site="0", hold_out_fraction=0.25))

    assert with_own.hold_out is not None
    both = np.concatenate([with_own.training.numbers, with_own.hold_out.numbers])
    assert {row.tobytes() for row in both} == {row.tobytes() for row in plain.training.numbers}


def test_sites_of_a_column_are_found_by_their_names(tmp_path: Path) -> None:
    spec = write_sites(tmp_path)

    sites = {site.name: site.training.numbers[:, 0].tolist() for site in load_sites(spec)}

    assert sites["south"] == [8.0, 9.0, 10.0, 11.0]
    assert len(load_site(replace(spec, site="north")).training) == 8


def test_an_unknown_site_is_refused_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no site 'west': it has north, south"):
        load_site(replace(write_sites(tmp_path), site="west"))


def test_a_test_file_is_read_like_the_source(tmp_path: Path) -> None:
    spec = write_sites(tmp_path)

    site = load_site(
        replace(spec, site_column="", drop_columns=("clinic",), test_source=spec.source)
    )

    assert site.test is not None
    assert len(site.test) == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "iid"}, "a split and a site column are both given"),
        ({"test_source": "a.csv", "test_fraction": 0.1}, "a test file and a share"),
        ({"hold_out_fraction": 0.01}, "too few to hold out"),
    ],
)
def test_contradicting_choices_are_refused(
    tmp_path: Path, changes: dict[str, str | float], message: str
) -> None:
    spec = replace(write_sites(tmp_path), **changes)  # type: ignore[arg-type]

    with pytest.raises(DataError, match=message):
        load_sites(spec)


def test_a_site_of_one_class_cannot_train(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x,sick\n1,1\n2,1\n", encoding="utf-8")
    site = load_site(DataSpec(source=str(path), site="west"))
    features = combine((site_statistics(site.training),))

    with pytest.raises(DataError, match="all 2 training rows of site west have the label 1"):
        site_datasets(site, features)
    allowed = site_datasets(site, features, allow_one_class=True)

    assert allowed["training"].labels.tolist() == [1.0, 1.0]


def test_data_sets_hold_what_the_specification_asks_for() -> None:
    site = load_site(replace(DEMO_SPEC, site="1", hold_out_fraction=0.2))
    features = combine((site_statistics(site.training),))

    data = site_datasets(site, features)

    assert {name: len(rows.labels) for name, rows in data.items()} == {
        "training": len(site.training),
        "hold_out": len(site.hold_out or ()),
        "test": 113,
    }
