"""The attacks of those who know all updates are what their papers describe."""

import numpy as np
import pytest

from fednode.collusion import a_little_is_enough, inner_product_manipulation, mimic, min_max

HONEST = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]])


def test_inner_product_manipulation_turns_the_mean_around() -> None:
    assert inner_product_manipulation(HONEST, 1.5).tolist() == [-4.5, -30.0]


def test_a_little_is_enough_stays_within_the_given_deviations() -> None:
    sent = a_little_is_enough(HONEST, 1.5)

    assert sent == pytest.approx([3 - 1.5 * np.sqrt(8 / 3), 20 - 1.5 * np.sqrt(200)])


def test_min_max_goes_exactly_as_far_as_it_stays_hidden(seed: int) -> None:
    honest = np.random.default_rng(seed).normal(0, 1, (9, 40))
    pairs = np.linalg.norm(honest[:, None] - honest[None], axis=2).max()

    sent = min_max(honest)

    assert np.linalg.norm(honest - sent, axis=1).max() == pytest.approx(pairs)
    offset = sent - honest.mean(axis=0)
    direction = honest.std(axis=0) / np.linalg.norm(honest.std(axis=0))
    assert offset == pytest.approx(-np.linalg.norm(offset) * direction)


def test_min_max_of_equal_updates_is_that_update() -> None:
    assert min_max(np.ones((3, 2))).tolist() == [1.0, 1.0]


def test_mimic_copies_one_honest_member() -> None:
    sent = mimic(HONEST)
    sent[0] = 99.0

    assert HONEST[0].tolist() == [1.0, 10.0]
    assert sent[1] == 10.0
