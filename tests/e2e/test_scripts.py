"""The scripts of a checkout are thin fronts that work, and a broker of one's own is enough."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fednode.config import BrokerSection
from fednode.founding.members import create_member
from fednode.transport.broker_process import BrokerProcess
from ledger.store import Ledger
from tests.e2e.running import EVENT_S, FINISH_S, Running, run_to_end
from tests.fednode.transport.mosquitto import Mosquitto

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MEMBERS = [f"hospital-{number}" for number in range(4)]


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / name), *arguments],
        capture_output=True, text=True, timeout=FINISH_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["spawn_nodes.py", "local_network.py", "inspect_ledger.py", "bench/demo_seeds.py"],
)
def test_script_explains_itself(name: str) -> None:
    done = run_script(name, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout.lower()


def test_local_network_runs_and_its_ledger_can_be_inspected(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    made = run_script(
        "local_network.py", "--nodes", "4", "--training-rounds", "2", "--dir", str(folder), "--json"
    )
    assert (made.returncode, made.stderr) == (0, "")

    seen = run_script("inspect_ledger.py", "log", str(folder / MEMBERS[2]), "--json")

    heights = [each["model_id"] for each in json.loads(made.stdout)["heights"]]
    assert [each["model_id"] for each in json.loads(seen.stdout)] == heights


def test_spawned_nodes_go_on_with_their_network_over_another_broker(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    with Running("testnet", "--training-rounds", "500", "--dir", str(folder)) as network:
        network.wait_for("committed", lambda event: event["height"] == 1)
        network.process.send_signal(signal.SIGINT)
        network.finish()
    before = head(folder / MEMBERS[0])

    folders = [str(folder / name) for name in MEMBERS]
    with BrokerProcess() as broker:
        command = [sys.executable, str(SCRIPTS / "spawn_nodes.py"), "--broker", broker.url]
        peers = subprocess.Popen(
            [*command, *folders], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert peers.stdout is not None
        signal.alarm(int(EVENT_S))  # ends the test if the line never comes
        seen = next(line for line in peers.stdout if f"height {before + 1}: AGGREGATE" in line)
        signal.alarm(0)
        peers.send_signal(signal.SIGINT)
        _, errors = peers.communicate(timeout=FINISH_S)

    assert (peers.returncode, errors) == (0, "")
    # The others may have been stopped before they had the block.
    first = seen.split()[0]
    assert first in MEMBERS
    assert head(folder / first) > before


def test_spawning_one_member_twice_is_refused(tmp_path: Path) -> None:
    broker = BrokerSection(url="mqtt://127.0.0.1:1883")
    made = create_member(tmp_path / "north", name="north", broker=broker, data=None, seed=bytes(32))

    done = run_script("spawn_nodes.py", str(made.folder), str(made.folder))

    assert done.returncode == 2
    assert "expected different members, got one folder or key twice" in done.stderr


def test_network_runs_over_a_broker_with_a_password(tmp_path: Path, mosquitto_binary: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    with (
        Mosquitto(mosquitto_binary, tmp_path, user=("trial", "correct horse")) as broker,
        Running(
            "testnet", "--training-rounds", "2", "--dir", str(tmp_path / "net"),
            "--broker", broker.url, "--username", "trial", "--password-file", str(password),
        ) as network,
    ):  # fmt: skip
        code, report = network.finish()

    assert (code, report["problems"]) == (0, [])
    assert report["processes"]["broker"] is None
    assert report["broker_url"] == broker.url


def head(member: Path) -> int:
    with Ledger.open(member / "state", read_only=True) as ledger:
        return ledger.head


def test_node_that_cannot_log_in_is_the_reason_given(
    tmp_path: Path, mosquitto_binary: Path
) -> None:
    with Mosquitto(mosquitto_binary, tmp_path, user=("trial", "correct horse")) as broker:
        done = run_to_end(
            "testnet", "--broker", broker.url, "--dir", str(tmp_path / "net"), "--json",
            cwd=tmp_path,
        )  # fmt: skip

    assert done.returncode == 1
    reason = json.loads(done.stdout)["problems"][0]
    assert "the network stopped at height 1" in reason
    assert f"broker 127.0.0.1:{broker.port} refuses a login without user name" in reason
