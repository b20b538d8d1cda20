"""The campaign itself: it fails when it tested nothing, and names what failed."""

from collections import Counter

import pytest

from tests.simulation import runner
from tests.simulation.chance import make_random
from tests.simulation.network import Network, draw_cut
from tests.simulation.runner import MUST_HAPPEN, Campaign, campaign, run_seed
from tests.simulation.settings import Settings, draw_settings
from tests.simulation.world import World


def test_a_campaign_in_which_nothing_happened_names_what_is_missing() -> None:
    done = Campaign(seeds=1, failures=(), totals=Counter(heights=3), slowest_ms=0)

    assert done.missing == tuple(name for name in MUST_HAPPEN if name != "heights")


def test_a_failing_seed_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: Settings, **_: object) -> None:
        raise KeyError(f"engine of seed {settings.seed}")

    monkeypatch.setattr(runner, "simulate", broken)

    done = campaign(range(3, 5), heights=1, jobs=1)

    assert [each.seed for each in done.failures] == [3, 4]
    assert "engine of seed 3" in str(done.failures[0].failure)


def test_two_different_runs_of_one_seed_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = World.heal, []

    def heal(world: World) -> None:
        calls.append(world)
        world.note(f"call {len(calls)}")
        original(world)

    monkeypatch.setattr(World, "heal", heal)

    assert "determinism" in str(run_seed(0, heights=1).failure)


def test_seeds_draw_every_fault_and_every_number_of_members(seed: int) -> None:
    drawn = [draw_settings(each) for each in range(seed, seed + 400)]

    assert {each.validators for each in drawn} == {4, 7}
    for name in ("loss", "duplication", "partitions", "pauses", "crashes", "power_cuts"):
        assert {bool(getattr(each, name)) for each in drawn} == {True, False}
    assert {each.is_real for each in drawn} == {True, False}
    assert all(len(each.byzantine) <= each.byzantine_budget for each in drawn)


def test_a_cut_drops_its_links_only_until_it_is_joined() -> None:
    network = Network(Settings(seed=1), make_random("network"))
    network.cut(1, frozenset({(0, 1)}))

    assert network.delays(0, 1) == ()
    assert len(network.delays(1, 0)) == 1
    network.join(1)
    assert len(network.delays(0, 1)) == 1


def test_partitions_have_both_symmetric_and_one_way_shapes(seed: int) -> None:
    rng = make_random(str(seed))
    cuts = [draw_cut(rng, 4) for _ in range(100)]

    symmetric = [cut == frozenset((b, a) for a, b in cut) for cut in cuts if cut]
    assert {True, False} == set(symmetric)
