"""Common preprocessing from counts and sums equals preprocessing with all rows in one place."""

from itertools import permutations

import numpy as np
import pytest

from fednode.learning.errors import DataError
from fednode.learning.preprocessing import preprocess
from fednode.learning.rows import Rows
from fednode.learning.statistics import combine, site_statistics
from ledger.genesis import Feature


def build_rows(numbers: list[list[float]], categories: list[str] | None = None) -> Rows:
    values = np.array(numbers, dtype=np.float64)
    texts = [[text] for text in categories] if categories is not None else [[]] * len(values)
    return Rows(
        names=tuple(f"x{column}" for column in range(values.shape[1])),
        numbers=values,
        categorical_names=("kind",) if categories is not None else (),
        categories=np.array(texts, dtype=np.str_).reshape(len(values), -1),
        labels=np.zeros(len(values)),
        sites=np.empty(0, dtype=np.str_),
    )


def combined(*sites: Rows) -> tuple[Feature, ...]:
    return combine(tuple(site_statistics(site) for site in sites))


def test_mean_and_scale_are_those_of_the_pooled_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(loc=1e6, scale=3.0, size=(n, 2)) for n in (5, 1, 40)]
    for part in parts:
        part[rng.random(part.shape) < 0.1] = np.nan
    pooled = np.concatenate(parts)

    features = combined(*(build_rows(part.tolist()) for part in parts))

    means = [float(feature.mean) for feature in features]
    scales = [float(feature.scale) for feature in features]
    np.testing.assert_allclose(means, np.nanmean(pooled, axis=0), rtol=1e-14)
    np.testing.assert_allclose(scales, np.nanstd(pooled, axis=0), rtol=1e-4)


def test_result_does_not_depend_on_the_order_of_sites(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sites = [build_rows((rng.normal(size=(7, 2)) * 10.0**power).tolist()) for power in (0, 8, 15)]

    results = {combined(*order) for order in permutations(sites)}

    assert len(results) == 1


def test_preprocessed_rows_have_mean_0_and_scale_1_and_gaps_at_the_mean() -> None:
    site, other = build_rows([[1.0], [np.nan]]), build_rows([[3.0], [5.0]])
    features = combined(site, other)

    first, second = preprocess(site, features), preprocess(other, features)

    scale = np.std([1.0, 3.0, 5.0])
    assert first.features[:, 0].tolist() == pytest.approx([-2.0 / scale, 0.0])
    assert second.features[:, 0].tolist() == pytest.approx([0.0, 2.0 / scale])
    assert first.feature_names == ("x0",)


def test_categories_of_any_site_become_indicators_but_the_first() -> None:
    north = build_rows([[0.0]] * 3, ["10", "2", ""])
    south = build_rows([[1.0]], ["b"])

    features = combined(north, south)

    assert [feature.name for feature in features] == ["x0", "kind=10", "kind=b"]
    assert float(features[1].mean) == pytest.approx(1 / 3)
    assert float(features[1].scale) == pytest.approx(np.std([1.0, 0.0, 0.0]))


def test_indicators_are_set_imputed_or_zero_for_the_first_category() -> None:
    rows = build_rows([[0.0]] * 4, ["a", "b", "", "b"])
    (_, feature) = combined(rows)

    values = preprocess(rows, (feature,)).features[:, 0]

    mean, scale = 2 / 3, np.std([0.0, 1.0, 1.0])
    assert values.tolist() == pytest.approx(
        [-mean / scale, (1 - mean) / scale, 0, (1 - mean) / scale]
    )


def test_a_constant_column_keeps_scale_1(seed: int) -> None:
    # Squares round up or down, so the variance of constants is a little more or less than zero.
    rng = np.random.default_rng(seed)
    for value in [0.0, 0.1, 1e12 + 0.3, *rng.normal(size=50)]:
        (feature,) = combined(build_rows([[value]] * 7), build_rows([[value]] * 3))

        assert feature.scale == "1.0"
        assert float(feature.mean) == pytest.approx(value)


def test_a_column_missing_at_one_site_takes_the_mean_of_the_others() -> None:
    features = combined(build_rows([[np.nan]]), build_rows([[4.0], [6.0]]))

    assert features == (Feature(name="x0", mean="5.0", scale="1.0"),)


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ([build_rows([[np.nan]])], "column 'x0' has no value at any site: drop it"),
        ([build_rows([[1.0]], [""])], "column 'kind' has no value at any site: drop it"),
        (
            [build_rows([[1.0]]), build_rows([[1.0]], ["a"])],
            r"site 1 has the columns x0, kind \(categories\), site 0 has x0",
        ),
    ],
)
def test_sites_that_do_not_fit_together_are_refused(sites: list[Rows], message: str) -> None:
    with pytest.raises(DataError, match=message):
        combined(*sites)


def test_a_site_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="without training rows"):
        site_statistics(build_rows([[1.0]]).take(np.array([], dtype=np.int64)))


def test_a_feature_of_the_contract_that_the_data_lack_is_named() -> None:
    features = (Feature(name="kind=a", mean="0", scale="1"),)

    with pytest.raises(DataError, match="feature 'kind=a' is not in the data, which have x0"):
        preprocess(build_rows([[1.0]]), features)


@pytest.mark.parametrize(("mean", "scale"), [("x", "1"), ("nan", "1"), ("0", "0"), ("0", "inf")])
def test_a_mean_or_scale_that_is_no_number_is_refused(mean: str, scale: str) -> None:
    with pytest.raises(DataError, match="expected decimal numbers, the scale above 0"):
        preprocess(build_rows([[1.0]]), (Feature(name="x0", mean=mean, scale=scale),))
