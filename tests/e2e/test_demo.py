"""The newcomer's command: real processes, real data, one liar, and a verdict that can be checked.

All five seeds: `python scripts/bench/demo_seeds.py`.
"""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import FINISH_S, run_to_end

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

LIAR = 3
TRAINING_ROUNDS = 10


def run_demo(tmp_path: Path, *options: str) -> dict[str, Any]:
    done = run_to_end("demo", "--json", "--dir", str(tmp_path / "demo"), *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def check_processes_and_ledgers(report: dict[str, Any]) -> None:
    nodes = report["processes"]["nodes"]
    roles = report["processes"]
    ids = [number for node in nodes for number in node["process_ids"]]
    assert len({*ids, roles["launcher"], roles["broker"]}) == len(nodes) + 2 == 7
    assert all(len(node["trainer_process_ids"]) == 1 for node in nodes)
    assert len({node["folder"] for node in nodes}) == len(nodes)
    assert report["ledgers_identical"]
    assert [ledger["holds"] for ledger in report["ledgers"]] == [True] * 5
    assert report["heights"][-1]["training_round"] == TRAINING_ROUNDS
    assert report["heights"][-1]["accuracy"] == report["metrics"]["accuracy"]


def test_robust_rule_learns_despite_the_liar(tmp_path: Path) -> None:
    report = run_demo(tmp_path, "--seed", "0")

    check_processes_and_ledgers(report)
    assert report["metrics"]["accuracy"] >= 0.95
    assert report["metrics"]["samples"] == 113
    trained = [height for height in report["heights"] if height["kind"] == "AGGREGATE"]
    assert all(height["flagged"] == [LIAR] for height in trained)
    assert len(report["comparison"]["alone_accuracy"]) == 5
    assert report["comparison"]["pooled_accuracy"] >= 0.95


def test_plain_mean_is_ruined_by_the_liar_and_certified_all_the_same(tmp_path: Path) -> None:
    report = run_demo(tmp_path, "--seed", "0", "--rule", "mean")

    check_processes_and_ledgers(report)
    assert report["metrics"]["accuracy"] <= 0.30


def test_newcomer_reads_a_story_and_commands_that_work(tmp_path: Path) -> None:
    done = run_to_end("demo", "--seed", "1", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "NOT OK" not in done.stdout
    assert "hospital-3 lied" in done.stdout
    commands = [
        shlex.split(line)
        for line in done.stdout.partition("Try next")[2].splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    assert len(commands) == 5
    accuracy = re.search(r"this network, liar included +(0\.\d{3})", done.stdout)
    assert accuracy is not None
    for command in commands[:-1]:
        tried = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, timeout=FINISH_S, check=False
        )
        assert (tried.returncode, tried.stderr) == (0, "")
        if "predict" in command:
            assert re.search(rf"accuracy +{accuracy[1]}", tried.stdout)
