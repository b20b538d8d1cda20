"""Optimizers against steps computed by hand, in plain floats."""

import numpy as np
import pytest

from fednode.learning.optimizers import Adam, Memory, Optimizer, Sgd, blend

GRADIENTS = (2.0, -1.0, 0.5)


def walk(optimizer: Optimizer, start: float) -> list[float]:
    values, memory, points = np.array([start]), Memory(), []
    for count, gradient in enumerate(GRADIENTS, start=1):
        values, memory = optimizer.step(values, np.array([gradient]), memory, count)
        points.append(float(values[0]))
    return points


def test_plain_descent_subtracts_rate_times_gradient() -> None:
    assert walk(Sgd(learning_rate=0.1), 1.0) == pytest.approx([0.8, 0.9, 0.85])


def test_momentum_keeps_a_share_of_the_velocity() -> None:
    # Velocities: 2, 0.5 * 2 - 1 = 0, 0.5 * 0 + 0.5 = 0.5.
    assert walk(Sgd(learning_rate=0.1, momentum=0.5), 1.0) == pytest.approx([0.8, 0.8, 0.75])


def test_first_step_of_adam_is_the_learning_rate_whatever_the_gradient() -> None:
    for gradient in (1e-3, 1e3):
        values, _ = Adam(learning_rate=0.1).step(np.array([1.0]), np.array([gradient]), (), 1)

        assert values[0] == pytest.approx(0.9, abs=1e-6)


def test_adam_takes_the_steps_of_its_algorithm() -> None:
    rate, b1, b2, eps = 0.1, 0.5, 0.75, 0.01
    # m: 1, 0, 0.25; v: 1, 1, 0.8125; divided by 1 - b^t.
    moments = [(1 / 0.5, 1 / 0.25), (0.0, 1 / 0.4375), (0.25 / 0.875, 0.8125 / 0.578125)]
    expected, point = [], 1.0
    for mean, square in moments:
        point -= rate * mean / (square**0.5 + eps)
        expected.append(point)

    points = walk(Adam(learning_rate=rate, beta1=b1, beta2=b2, epsilon=eps), 1.0)

    assert points == pytest.approx(expected)


def test_weight_decay_shrinks_values_apart_from_the_gradient() -> None:
    plain = Adam(learning_rate=0.1)
    decaying = Adam(learning_rate=0.1, decay=0.5)

    difference = walk(plain, 1.0)[0] - walk(decaying, 1.0)[0]
    still, _ = decaying.step(np.array([2.0]), np.array([0.0]), (), 1)

    assert difference == pytest.approx(0.1 * 0.5 * 1.0)
    assert still[0] == pytest.approx(2.0 * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("optimizer", [Sgd(learning_rate=0.1, momentum=0.9), Adam(learning_rate=1)])
def test_a_step_changes_nothing_that_it_was_given(optimizer: Optimizer) -> None:
    values, gradient = np.array([1.0, 2.0]), np.array([0.5, -0.5])
    _, memory = optimizer.step(values, gradient, (), 1)
    kept = [each.copy() for each in (values, gradient, *memory)]

    optimizer.step(values, gradient, memory, 2)

    for before, after in zip(kept, (values, gradient, *memory), strict=True):
        assert np.array_equal(before, after)


def test_worker_momentum_starts_with_the_first_update_and_then_averages() -> None:
    first = blend(np.array([2.0]), None, 0.9)
    second = blend(np.array([12.0]), first, 0.9)

    assert first.tolist() == [2.0]
    assert second.tolist() == pytest.approx([0.9 * 2.0 + 0.1 * 12.0])
