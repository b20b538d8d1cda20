"""Rules are not tried again where nothing changed: trying them each time decides nothing else."""

import pytest

from consensus.height import Height
from consensus.rules import Decide
from tests.simulation.settings import draw_settings
from tests.simulation.world import simulate


@pytest.mark.parametrize("seed", [3, 8, 10, 13])
def test_a_network_whose_nodes_always_try_all_rules_does_the_same(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    settings = draw_settings(seed, heights=2)
    run = Height.run

    def run_always(height: Height) -> Decide | None:
        height._has_news = True
        return run(height)

    saving = simulate(settings)
    monkeypatch.setattr(Height, "run", run_always)
    thorough = simulate(settings)

    assert saving == thorough
