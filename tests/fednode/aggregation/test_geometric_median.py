"""The geometric median and the mixing before it, on tables of distances."""

from fractions import Fraction

import numpy as np
import pytest

from fednode.aggregation.geometric_median import geometric_median, spread_from_mean
from fednode.aggregation.gram import gram_matrix, squared_distances
from fednode.aggregation.mixing import mix_nearest, mixed_distances, unmix
from tests.fednode.aggregation import twins


def test_geometric_median_minimises_the_sum_of_distances(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-10_000, 10_000, (9, 40), dtype=np.int32)
    weights = generator.integers(1, 100, 9)
    table = squared_distances(gram_matrix(list(rows)))

    found = geometric_median(table, weights.tolist())

    floats = rows.astype(np.float64)
    best = twins.float_geometric_median(floats, weights.astype(np.float64), iterations=1000)
    center = np.average(floats, axis=0, weights=np.array(found, np.float64))
    assert _cost(center, floats, weights) < _cost(best, floats, weights) * (1 + 1e-6)
    assert _cost(floats.mean(axis=0), floats, weights) > _cost(best, floats, weights) * (1 + 1e-6)


@pytest.mark.parametrize("distance", [1_000, 10_000_000])
def test_a_row_placed_on_the_first_mean_does_not_hold_the_median_there(distance: int) -> None:
    honest = [-40, -20, 0, 20, 40]
    # The last row lies exactly on the mean of all: a plain Weiszfeld iteration never leaves it.
    points = [*honest, 6 * distance, distance]
    assert Fraction(sum(points), 7) == distance
    table = tuple(tuple((x - y) ** 2 << 32 for y in points) for x in points)

    found = geometric_median(table, [1] * 7)

    center = sum(a * x for a, x in zip(found, points, strict=True)) / sum(found)
    assert abs(center) < 100


def test_distances_that_rounding_made_impossible_are_harmless() -> None:
    # Points -a, 0 and a with a^2 = 0.9 units, rounded down: the squared distance from the middle
    # one to the mean comes out below zero.
    table = ((0, 0, 0), (0, 0, 3), (0, 3, 0))
    assert spread_from_mean(table, (1, 1, 1))[0] < 0

    assert geometric_median(table, (1, 1, 1)) == (2**64,) * 3


def test_spread_is_the_squared_distance_to_the_weighted_mean() -> None:
    rows = [(1, 5), (-3, 2), (10, 0)]
    weights = (2, 0, 5)
    exact = [tuple(Fraction(value) for value in row) for row in rows]
    center = twins.mean_of(exact, weights)

    spread = spread_from_mean(
        squared_distances(gram_matrix([np.array(row, np.int32) for row in rows])), weights
    )

    assert list(spread) == [2 * 7**2 * twins.squared_distance(row, center) for row in exact]


def test_mixing_keeps_the_row_itself_and_breaks_ties_by_member() -> None:
    # Rows 0, 1 and 3 are the same point; rows 2 and 4 lie at equal distances from it.
    points = [0, 0, 3, 0, -3]
    table = tuple(tuple((x - y) ** 2 for y in points) for x in points)

    mixing = mix_nearest(table, (5, 6, 7, 8, 9), f=2)

    assert mixing == (
        (5, 6, 0, 8, 0),
        (5, 6, 0, 8, 0),
        (5, 6, 7, 0, 0),
        (5, 6, 0, 8, 0),
        (5, 6, 0, 0, 9),
    )
    assert mix_nearest(table, (5, 6, 7, 8, 9), f=1)[0] == (5, 6, 7, 8, 0)
    assert mix_nearest(table, (5, 6, 7, 8, 9), f=4)[3] == (0, 0, 0, 8, 0)


def test_mixing_of_rows_without_weight_is_their_plain_average() -> None:
    points = [0, 1, 100]
    table = tuple(tuple((x - y) ** 2 for y in points) for x in points)

    assert mix_nearest(table, (0, 0, 4), f=1) == ((1, 1, 0), (1, 1, 0), (0, 0, 4))


def test_mixed_distances_are_those_of_the_mixed_vectors(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-(2**24), 2**24, (6, 5), dtype=np.int32)
    weights = tuple(int(w) for w in generator.integers(0, 2**24, 6))
    table = squared_distances(gram_matrix(list(rows)))

    mixed = mixed_distances(table, mix_nearest(table, weights, f=2))

    exact = [tuple(Fraction(int(value)) for value in row) for row in rows]
    vectors = twins.mixed_rows(exact, weights, f=2)
    assert mixed == tuple(
        tuple(int(twins.squared_distance(x, y) * 2**32) for y in vectors) for x in vectors
    )


def test_unmixed_weights_give_the_mean_of_the_mixed_rows() -> None:
    mixing = ((3, 1, 0), (3, 1, 0), (0, 1, 9))
    coefficients = (2**64, 3 * 2**64, 5 * 2**64)

    weights = unmix(coefficients, mixing)

    shares = [Fraction(4 * 3, 4), Fraction(4, 4) + Fraction(5, 10), Fraction(5 * 9, 10)]
    assert max(weights) == 2**24
    assert list(weights) == [int(share * 2**24 / max(shares)) for share in shares]


def _cost(
    center: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> float:
    return float(weights @ np.linalg.norm(rows - center, axis=1))
