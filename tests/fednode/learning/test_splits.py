import numpy as np
import pytest
from numpy.typing import NDArray

from fednode.learning.errors import DataError
from fednode.learning.splits import hold_out, split_sites


def labels(positive: int, negative: int) -> NDArray[np.float64]:
    return np.concatenate([np.ones(positive), np.zeros(negative)])


def test_hold_out_takes_the_same_share_of_each_class(seed: int) -> None:
    truth = labels(60, 40)

    kept, held = hold_out(truth, 0.2, np.random.default_rng(seed))

    assert sorted([*kept, *held]) == list(range(100))
    assert (len(held), truth[held].sum()) == (20, 12)


def test_hold_out_keeps_a_row_of_each_class() -> None:
    kept, _ = hold_out(labels(1, 2), 0.9, np.random.default_rng(0))

    assert set(labels(1, 2)[kept].tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_hold_out_of_nothing_or_all_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="expected more than 0 and less than 1"):
        hold_out(labels(5, 5), fraction, np.random.default_rng(0))


@pytest.mark.parametrize("split", ["iid", "dirichlet:0.1", "dirichlet:0.5", "dirichlet:100"])
def test_a_split_gives_every_row_to_one_of_equal_sites(split: str, seed: int) -> None:
    truth = labels(300, 155)

    sites = split_sites(truth, split, 5, np.random.default_rng(seed))

    assert sorted(np.concatenate(sites).tolist()) == list(range(455))
    assert all(abs(len(site) - 91) <= 1 for site in sites)
    assert all(set(truth[site].tolist()) == {0.0, 1.0} for site in sites)


def test_a_smaller_alpha_skews_the_labels_more() -> None:
    truth = labels(300, 155)

    def spread(alpha: float) -> float:
        shares = [
            truth[site].mean()
            for draw in range(20)
            for site in split_sites(truth, f"dirichlet:{alpha}", 5, np.random.default_rng(draw))
        ]
        return float(np.std(shares))

    assert spread(0.2) > 1.5 * spread(2.0) > 3 * spread(100.0)


def test_a_split_depends_on_the_seed_alone() -> None:
    first, same, other = (
        split_sites(labels(50, 50), "dirichlet:0.5", 4, np.random.default_rng(seed))[0].tolist()
        for seed in (1, 1, 2)
    )

    assert first == same != other


@pytest.mark.parametrize(
    ("split", "sites", "message"),
    [
        ("dirichlet", 2, "expected a number above 0, as in dirichlet:0.5"),
        ("dirichlet:0", 2, "expected a number above 0"),
        ("dirichlet:x", 2, "expected a number above 0"),
        ("quantity", 2, "no split 'quantity': choose iid or dirichlet:ALPHA"),
        ("iid:3", 2, "no split 'iid:3'"),
        ("iid", 0, "20 rows cannot be split into 0 sites"),
        ("iid", 21, "20 rows cannot be split into 21 sites"),
        ("dirichlet:0.5", 15, "no draw of dirichlet:0.5 gave each of 15 sites rows of every class"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(split: str, sites: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_sites(labels(10, 10), split, sites, np.random.default_rng(0))
