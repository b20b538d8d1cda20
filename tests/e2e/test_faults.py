"""The network survives each fault once; `scripts/faults.py` repeats them (P35, P60, P80, P82)."""

from pathlib import Path

import pytest

from tests.e2e.faults import cases, problems, run_case

STOP_S = 10.0


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("name", sorted(cases(STOP_S)))
async def test_a_network_survives(name: str, tmp_path: Path) -> None:
    result = await run_case(tmp_path, cases(STOP_S)[name])

    assert problems(result) == [], result
