"""Members are wiped, lost, rotated and sent away on a network of real processes (P60, P80, P81)."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

CHURN = Path(__file__).resolve().parents[2] / "scripts" / "churn.py"
TIMEOUT_S = 900.0


def test_everything_that_happens_to_members_ends_in_equal_ledgers_that_hold(
    tmp_path: Path,
) -> None:
    """Each of the four kinds of change once, by the commands that people use."""
    done = subprocess.run(
        [sys.executable, str(CHURN), "--heights", "5", "--dir", str(tmp_path / "churn")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "leave: 1, lose: 1, rotate: 1, wipe: 1" in done.stdout
    assert "all ledgers hold and are equal" in done.stdout
