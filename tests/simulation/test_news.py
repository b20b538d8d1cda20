"""Rules are not tried again where nothing changed: trying them each time decides nothing else."""

import pytest

from consensus.height import Height
from tests.simulation.settings import draw_settings
from tests.simulation.world import simulate


@pytest.mark.parametrize("seed", [3, 9, 10, 15])
def test_a_network_whose_nodes_always_try_all_rules_does_the_same(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    settings = draw_settings(seed, heights=2)

    def ignore(_height: Height, _has_news: object) -> None:
        """What the height says about news."""

    saving = simulate(settings)
    monkeypatch.setattr(Height, "has_news", property(lambda _: True, ignore), raising=False)
    thorough = simulate(settings)

    assert saving == thorough
