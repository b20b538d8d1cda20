"""A test network is made of real processes: alone in their folders, and never left behind."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from fednode.testnet.peers import LOG_NAME
from ledger.lock import LOCK_NAME
from ledger.store import DATABASE_NAME
from tests.e2e.running import Running, alive, openers, run_to_end

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

LEFT_BEHIND_S = 5.0
"""Longest time that children outlive a launcher that was killed."""
LONG = "5000"
"""More training rounds than any test waits for."""


def small(folder: Path, training_rounds: str = "3", *options: str) -> tuple[str, ...]:
    return (
        "testnet", "--nodes", "4", "--training-rounds", training_rounds, "--dir", str(folder),
        *options,
    )  # fmt: skip


def names(processes: list[psutil.Process]) -> list[str]:
    return [" ".join(process.cmdline()) for process in processes]


def check_finished(code: int, report: dict[str, Any], training_rounds: int) -> None:
    assert (code, report["holds"], report["problems"]) == (0, True, [])
    assert report["ledgers_identical"]
    assert report["heights"][-1]["training_round"] == training_rounds


def test_each_node_is_the_only_opener_of_its_folder(tmp_path: Path) -> None:
    with Running(*small(tmp_path / "net", LONG)) as network:
        network.wait_for("scored", lambda event: event["height"] >= 2)
        nodes = network.node_processes()
        found = {number: openers(Path(event["folder"])) for number, event in nodes.items()}

    launcher = network.process.pid
    for number, event in nodes.items():
        # The launcher reads a new model for a moment; what it must not touch is the ledger.
        by_launcher = found[number].pop(launcher, set())
        assert all("/blobs/" in path for path in by_launcher)
        assert list(found[number]) == [event["process_id"]]
        files = {Path(path).name for path in found[number][event["process_id"]]}
        assert {LOCK_NAME, DATABASE_NAME, LOG_NAME} <= files
    assert len({event["process_id"] for event in nodes.values()}) == 4


def test_killed_launcher_leaves_no_process(tmp_path: Path) -> None:
    with Running(*small(tmp_path / "net", LONG)) as network:
        network.wait_for("committed")
        children = network.descendants()
        assert len(children) == 9, names(children)  # a broker, four nodes, four trainers

        network.process.kill()
        network.process.wait()

        assert names(alive(children, LEFT_BEHIND_S)) == []


def test_launcher_killed_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    with Running(*small(tmp_path / "net", LONG)) as network:
        network.wait_for("process", lambda event: event["member"] == 1)
        children = network.descendants()

        network.process.kill()
        network.process.wait()

        assert names(alive(children, LEFT_BEHIND_S)) == []


def test_stopped_node_also_ends_with_a_killed_launcher(tmp_path: Path) -> None:
    with Running(*small(tmp_path / "net", LONG)) as network:
        network.wait_for("committed")
        children = network.descendants()
        os.kill(network.node_processes()[2]["process_id"], signal.SIGSTOP)

        network.process.kill()
        network.process.wait()

        assert names(alive(children, LEFT_BEHIND_S)) == []


def test_interrupted_network_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    with Running(*small(folder, "40", "--seed", "4")) as network:
        network.wait_for("committed", lambda event: event["height"] == 2)
        children = network.descendants()
        network.process.send_signal(signal.SIGINT)
        code, report = network.finish()
        assert names(alive(children, 0)) == []
    assert (code, report["is_interrupted"], report["problems"]) == (130, True, [])
    before = [height["model_id"] for height in report["heights"]]

    with Running("testnet", "--resume", "--dir", str(folder)) as resumed:
        code, report = resumed.finish()

    check_finished(code, report, 40)
    assert [height["model_id"] for height in report["heights"]][: len(before)] == before
    assert 2 <= len(before) < len(report["heights"])


def test_two_networks_at_once_do_not_meet(tmp_path: Path) -> None:
    with (
        Running(*small(tmp_path / "one")) as first,
        Running(*small(tmp_path / "two")) as second,
    ):
        reports = [first.finish(), second.finish()]

    for code, report in reports:
        check_finished(code, report, 3)
    assert len({report["chain_id"] for _, report in reports}) == 2
    assert len({report["broker_url"] for _, report in reports}) == 2


def test_killed_node_is_started_again_and_catches_up(tmp_path: Path) -> None:
    with Running(*small(tmp_path / "net", "5", "--kill", "1@2")) as network:
        code, report = network.finish()

    check_finished(code, report, 5)
    counts = [len(node["process_ids"]) for node in report["processes"]["nodes"]]
    assert counts == [1, 2, 1, 1]
    assert {event["member"] for event in network.events if event["event"] == "killed"} == {1}


def test_node_that_ends_is_named_and_catches_up_later(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    with Running(*small(folder, "12")) as network:
        network.wait_for("committed", lambda event: event["height"] == 1)
        os.kill(network.node_processes()[3]["process_id"], signal.SIGKILL)
        exited = network.wait_for("exit")
        code, report = network.finish()

    assert (exited["member"], exited["status"]) == (3, -signal.SIGKILL)
    assert code == 1
    assert not report["ledgers_identical"]
    assert [problem.split()[0] for problem in report["problems"]] == ["hospital-3"]
    assert report["heights"][-1]["training_round"] == 12

    with Running("testnet", "--resume", "--dir", str(folder)) as resumed:
        code, report = resumed.finish()

    check_finished(code, report, 12)


def test_network_without_a_quorum_ends_with_the_reason(tmp_path: Path) -> None:
    with Running(*small(tmp_path / "net", LONG)) as network:
        network.wait_for("committed", lambda event: event["height"] == 1)
        for member in (0, 1):
            os.kill(network.node_processes()[member]["process_id"], signal.SIGKILL)
        code, report = network.finish()

    assert code == 1
    assert "the network stopped at height" in report["problems"][0]
    assert "hospital-0 ended" in report["problems"][0]


def test_used_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genesis.fed").write_bytes(b"of another network")

    done = run_to_end(*small(tmp_path), cwd=tmp_path)

    assert done.returncode == 2
    assert "name another folder, or go on with the network in it by --resume" in done.stderr


def test_other_terms_are_refused_when_a_network_goes_on(tmp_path: Path) -> None:
    done = run_to_end("testnet", "--resume", "--dir", str(tmp_path), "--seed", "0", cwd=tmp_path)

    assert done.returncode == 2
    assert "expected no --seed with --resume" in " ".join(done.stderr.split())
