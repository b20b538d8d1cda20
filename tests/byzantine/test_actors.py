"""Each named actor, alone or with as many of its kind as are tolerated: what it can achieve."""

import pytest

from tests.byzantine.actors.cast import ACTORS, NAMED
from tests.byzantine.actors.measures import decided
from tests.byzantine.actors.trial import Trial, actor_of, run_trial, settings_of
from tests.byzantine.actors.triggers import Trigger, parse_trigger
from tests.byzantine.guards import GUARDS
from tests.simulation.sharing import shared_results
from tests.simulation.world import World

SEED = 0
SEEDS_MAX = 8
"""Tried one after the other where chance gives an actor nothing to do in the first."""
# With three honest members of four no history and no lock gets these any further.
NEEDS_SEVEN = ("amnesiac", "farmer")


def run_until_it_acts(name: str, members: int) -> list[Trial]:
    """One trial; more where chance gave the actor nothing to do."""
    trials: list[Trial] = []
    for seed in range(SEEDS_MAX):
        trials.append(run_trial(name, members, seed))
        if trials[-1].acts or trials[-1].problem:
            break
    return trials


@pytest.mark.parametrize("members", [4, 7])
@pytest.mark.parametrize("name", NAMED)
def test_an_actor_achieves_no_more_than_the_protocol_concedes(name: str, members: int) -> None:
    trials = run_until_it_acts(name, members)

    assert trials[-1].acts > 0, "it did nothing, so nothing was tested"
    for trial in trials:
        assert trial.problem == ""
        assert trial.measure is not None
        assert trial.measure.is_held, trial.measure


@pytest.mark.parametrize("name", sorted(GUARDS))
def test_without_its_guard_the_actor_gets_further(name: str) -> None:
    members = 7 if name in NEEDS_SEVEN else 4
    with GUARDS[name]():
        got_further = any(
            trial.problem or (trial.measure is not None and not trial.measure.is_held)
            for trial in (run_trial(name, members, seed) for seed in range(SEEDS_MAX))
        )

    assert got_further


def test_every_named_actor_has_a_guard_that_can_be_taken_away() -> None:
    assert set(GUARDS) == set(NAMED)


@pytest.mark.parametrize("name", sorted(ACTORS))
def test_an_actor_that_never_acts_is_an_honest_member(name: str) -> None:
    world = World(settings_of(f"{name}:never", 4, SEED))

    with shared_results():
        world.run()

    assert actor_of(world, 3).acts == 0
    assert world.checkers.accused == set()
    assert len(list(decided(world))) >= ACTORS[name].heights


def test_a_member_that_lies_at_some_heights_only_is_honest_at_the_others() -> None:
    world = World(settings_of("silent:heights=3-4", 4, SEED))

    with shared_results():
        world.run()

    lists = {block.header.height: [have.signer for have in block.haves] for block in decided(world)}
    assert {height for height, signers in lists.items() if 3 not in signers} == {3, 4}


def test_a_trigger_decides_by_height_and_view_and_never_changes_its_mind(seed: int) -> None:
    trigger = parse_trigger("p=0.5;heights=2-5,9-;views=0")
    places = [(height, view) for height in range(1, 60) for view in range(3)]

    fired = [place for place in places if trigger.fires(*place, seed=f"{seed}")]
    again = [place for place in places if trigger.fires(*place, seed=f"{seed}")]

    assert fired == again
    assert all(view == 0 and (2 <= height <= 5 or height >= 9) for height, view in fired)
    assert 0 < len(fired) < 55


@pytest.mark.parametrize("text", ["sometimes", "p=2", "p=x", "heights=a-b", "views="])
def test_a_trigger_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|invalid|could not"):
        parse_trigger(text)


def test_always_and_never_are_what_they_say() -> None:
    assert parse_trigger("always") == Trigger()
    assert not any(parse_trigger("never").fires(height, 0, seed="") for height in range(99))
