"""A large model survives lost packets and a broker with a small limit (rules P10, P91).

`scripts/bench/large_model.py` does the same with ten million parameters.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench" / "large_model.py"
NODES = 4
PARAMETERS = 1_000_000
PEAK_MIB_MAX = 250
TIMEOUT_S = 240


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_nodes_commit_one_model_though_every_fiftieth_packet_is_lost(
    mosquitto_binary: Path,
) -> None:
    sizes = ("--parameters", str(PARAMETERS), "--nodes", str(NODES), "--withhold-every", "50")

    done = subprocess.run(
        [sys.executable, str(SCRIPT), *sizes],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )

    assert mosquitto_binary.is_file()
    assert done.returncode == 0, done.stderr + done.stdout
    results = json.loads(done.stdout)["results"]
    assert [each["limit"].split()[0] for each in results] == [
        "max_packet_size",
        "message_size_limit",
    ]
    for result in results:
        assert result["packets_withheld"] >= NODES
        assert (result["models"], result["updates"]) == (1, NODES)
        assert max(result["peak_mib_per_node"]) <= PEAK_MIB_MAX
