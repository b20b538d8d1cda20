"""All promises hold with twins under partitions, and planted faults do not go unseen.

`python scripts/twins.py` runs what takes longer; it prints a scenario that replays.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace as replaced_fields
from typing import TYPE_CHECKING, TypeAlias

import pytest

from consensus import record as record_module
from ledger import powers
from tests.simulation.mutants import no_lock
from tests.simulation.packets import ViolationError
from tests.simulation.patching import replaced
from tests.twins.runner import FOUR, draw, explore, run_seed, scenarios_per_stage
from tests.twins.sampling import draw_terms
from tests.twins.tree import BrokenPromiseError, replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consensus.record import SafetyRecord
    from ledger.records import SignedVote

Plant: TypeAlias = Callable[[], AbstractContextManager[None]]
SEEDS = 2
SEEDS_TO_FIND = 16
"""Scenarios of so many seeds show each planted fault, whatever order the chain draws."""


def at_least_half() -> AbstractContextManager[None]:
    """A quorum is half of the power: two of four."""
    return replaced(powers.is_quorum, lambda power, total: 2 * power >= total)


@contextmanager
def lock_left_behind() -> "Iterator[None]":
    """A lock is forgotten with the view in which it was made (against rules P22, P23)."""
    original = record_module.in_view

    def in_view(
        record: "SafetyRecord", view: int, proof: "tuple[SignedVote, ...]"
    ) -> "SafetyRecord":
        return replaced_fields(original(record, view, proof), locked=())

    with replaced(original, in_view):
        yield


@pytest.mark.slow
def test_all_promises_hold_in_every_scenario_of_two_stages() -> None:
    done = explore(2, begin=0, seconds=600, jobs=1)

    assert done.broken == []
    assert done.counts["scenarios"] == scenarios_per_stage(FOUR) ** 2
    assert done.counts["decided"] > 0
    assert done.counts["views"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [7, 10])
def test_all_promises_hold_in_drawn_scenarios_of_larger_networks(nodes: int) -> None:
    done = draw(nodes, seeds=range(SEEDS), seconds=600, jobs=1)

    assert done.broken == []
    assert done.counts["scenarios"] > SEEDS * 100
    assert done.counts["decided"] > 0
    assert done.counts["views"] > 0


@pytest.mark.parametrize("plant", [no_lock, at_least_half, lock_left_behind])
def test_a_planted_fault_is_found_among_four(plant: Plant) -> None:
    with plant(), pytest.raises(BrokenPromiseError) as found:
        explore(3, begin=0, seconds=600, jobs=1)

    # The scenario that is named shows the fault by itself, and only with the fault.
    scenario = found.value.scenario
    with plant(), pytest.raises(ViolationError):
        replay(FOUR, scenario)
    replay(FOUR, scenario)


@pytest.mark.parametrize("mutant", ["no_lock", "quorum_half", "counted_heads"])
def test_a_planted_fault_is_found_among_seven(mutant: str) -> None:
    assert any(run_seed(7, seed, mutant=mutant)[1] for seed in range(SEEDS_TO_FIND))


def test_a_slice_that_is_late_says_where_to_go_on() -> None:
    done = draw(7, seeds=range(5, 9), seconds=-1, jobs=1)

    assert (done.begin, done.end, done.size) == (5, 5, 9)
    assert not done.counts


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scenarios() -> None:
    assert run_seed(7, 1) == run_seed(7, 1)


def test_drawn_networks_are_unequal_and_their_twins_below_a_third() -> None:
    drawn = [draw_terms(nodes, seed) for nodes in (7, 10) for seed in range(100)]

    for terms in drawn:
        twins = sum(terms.powers[each] for each in terms.twins)
        assert 3 * twins < sum(terms.powers)
    assert {len(each.twins) for each in drawn} == {1, 2, 3}
    assert max(max(each.powers) / min(each.powers) for each in drawn) > 3
    assert {len(set(each.powers)) > 1 for each in drawn} == {True, False}
