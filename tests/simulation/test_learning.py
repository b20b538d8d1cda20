"""Full-node seeds: real bodies, the production aggregation, and a problem with a known answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ledger.bodies import body_id
from tests.simulation.contracts import ELEMENTS
from tests.simulation.disk import StoreDisk
from tests.simulation.learning import STEP_MAX, STEP_MIN, Problem
from tests.simulation.packets import BodyPush
from tests.simulation.runner import FULL_MUST_HAPPEN, campaign
from tests.simulation.settings import Settings, draw_settings
from tests.simulation.world import World

ROUNDING = 4
"""Quanta by which a step, rounded, may miss its bounds."""


@contextmanager
def full_world(folder: Path, **changes: object) -> Iterator[World]:
    """A calm network whose bodies are real."""
    settings = Settings(seed=3, is_real=True, has_contents=True, faulty_ms=1, heights=2, **changes)  # type: ignore[arg-type]
    world = World(settings, folder=folder)
    yield world
    for node in world.nodes:
        node.disk.close()


def test_a_step_takes_a_fifth_to_a_quarter_off_each_coordinate_of_the_error(seed: int) -> None:
    problem = Problem(Settings(seed=seed))
    start = np.zeros(ELEMENTS, np.int32)
    optimum = problem.optimum

    for member in range(4):
        step = problem.step(member, start)
        shares = np.abs(step) / np.abs(optimum)
        room = ROUNDING / np.abs(optimum).min()
        assert np.all(np.sign(step) == np.sign(optimum))
        assert shares.min() >= STEP_MIN - room
        assert shares.max() <= STEP_MAX + room


def test_a_step_at_too_high_a_rate_makes_a_model_worse_by_every_members_figures(seed: int) -> None:
    problem = Problem(Settings(seed=seed, is_diverging=True))
    start = np.zeros(ELEMENTS, np.int32)
    after = start + problem.step(0, start)

    for member in range(4):
        assert problem.figure(member, after) < problem.figure(member, start) < 0


def test_every_node_has_the_same_bytes_of_every_decided_model(tmp_path: Path) -> None:
    with full_world(tmp_path) as world:
        world.start()
        world.aim(2)
        world.run_until(world.is_reached, within_ms=60_000)
        models = {node.disk.block_at(2).header.results.model_id for node in world.nodes}
        found = set()
        for node in world.nodes:
            assert isinstance(node.disk, StoreDisk)
            assert node.disk.blobs is not None
            found |= {node.disk.blobs.get(each) for each in models}

    assert len(models) == len(found) == 1
    assert {body_id(body) for body in found} == models


def test_a_body_under_another_name_is_not_kept(tmp_path: Path) -> None:
    with full_world(tmp_path) as world:
        node = world.nodes[0]
        before = set(node.disk.bodies)
        right = BodyPush(body_id=body_id(b"body"), body=b"body")

        is_false_kept = world.substance.keep(node, BodyPush(body_id=bytes(32), body=b"body"))
        between = set(node.disk.bodies)
        is_right_kept = world.substance.keep(node, right)

        assert (is_false_kept, is_right_kept) == (False, True)
        assert between == before
        assert node.disk.bodies == before | {right.body_id}


def test_full_seeds_draw_poison_only_where_the_contract_budgets_for_it(seed: int) -> None:
    drawn = [draw_settings(each, profile="full") for each in range(seed, seed + 300)]

    poisoned = [each for each in drawn if each.poisoners]
    assert {len(each.poisoners) for each in poisoned} == {1}
    assert all(each.trainer_budget for each in poisoned)
    assert all(dict(each.byzantine).keys() >= set(each.poisoners) for each in poisoned)
    assert {each.is_diverging for each in drawn} == {True, False}


@pytest.mark.slow
def test_full_seeds_learn_flag_outliers_and_refuse_what_is_no_update() -> None:
    done = campaign(range(20), heights=2, jobs=1, profile="full")

    assert done.failures == ()
    assert [name for name in FULL_MUST_HAPPEN if not done.totals[name]] == []
