"""What users and their computers do wrong: one sentence, an exit code, and an unharmed ledger.

Each case runs a real command. The sentence must say what was expected, what came and what to do.
"""

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.founding.contracts import ContractOptions, timeouts_of
from fednode.transport.broker_process import BrokerProcess
from tests.e2e.commands import (
    COMMAND_TIMEOUT_S,
    FEDNODE,
    Place,
    assert_ledger_holds,
    fednode,
    running,
    sentence_of,
    set_broker,
    status_of,
    wait_for,
)
from tests.e2e.mistakes import BAD, CASES, RUN, SICK, Case, ledger_of_another_genesis
from tests.fednode.founding.support import found
from tests.fednode.transport.mosquitto import Mosquitto

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]

TRAINING_ROUNDS = 3
FILE_BLOCKS_MAX = 200
"""Of 1024 bytes: the largest file of a node whose disk is full; enough to start, not to go on."""
DAMAGED = {"truncated database", "overwritten database"}


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with BrokerProcess() as process:
        yield process


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess) -> Place:
    """A network of one member, after its last training round."""
    place = Place(folder=tmp_path_factory.mktemp("finished"), broker_url=broker.url)
    options = ContractOptions(
        name="one", training_rounds=TRAINING_ROUNDS, timeouts=timeouts_of(2.0, 1.0)
    )
    found(place.folder, ("one",), options)
    set_broker(place.toml, broker.url)
    with running(place.member, "run"):
        wait_for(place.member, lambda status: status["is_finished"])
    return place


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    shutil.copytree(finished.folder, tmp_path / "place")
    return replace(finished, folder=tmp_path / "place")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.desc)
def test_mistake_gets_one_sentence_and_leaves_the_ledger_as_it_was(
    place: Place, case: Case
) -> None:
    arguments = case.command(place)
    before = rows_of(place.database)

    done = fednode(place.folder, *arguments)

    assert done.returncode == case.code, done.stderr
    said = sentence_of(done.stderr)
    assert re.search(case.says, said, flags=re.DOTALL), said
    assert rows_of(place.database) == before
    if case.desc not in DAMAGED:
        assert_ledger_holds(place.member)


def rows_of(database: Path) -> list[str]:
    """Everything in a ledger, except what numbers the requests of each start anew.

    Of a damaged one all bytes.
    """
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return [row for row in connection.iterdump() if "counters" not in row]
        except sqlite3.DatabaseError:
            return [database.read_bytes().hex()]


def test_ledger_of_another_chain_is_refused(place: Place) -> None:
    old = place.config.node.folder
    shutil.move(old, place.folder / "old")
    arguments = ledger_of_another_genesis(place)
    shutil.rmtree(place.config.node.folder, ignore_errors=True)
    shutil.move(place.folder / "old", place.config.node.folder)

    done = fednode(place.folder, *arguments)

    assert done.returncode == SICK
    assert re.search("the ledger of chain .*, expected .*; name", sentence_of(done.stderr))
    assert_ledger_holds(place.member)


def test_wrong_password_is_refused(place: Place, mosquitto_binary: Path) -> None:
    with Mosquitto(mosquitto_binary, place.folder, user=("one", "right")) as broker:
        (place.member / "password").write_text("wrong\n", encoding="utf-8")
        set_broker(place.toml, broker.url, username="one", password_file=place.member / "password")

        done = fednode(place.folder, *RUN)

    assert done.returncode == BAD
    assert re.search("(?i)password|not authori", sentence_of(done.stderr))
    assert_ledger_holds(place.member)


def test_second_node_with_one_key_folder_is_refused(place: Place) -> None:
    with running(place.folder, *RUN) as first:
        wait_for(place.member, lambda status: status["is_running"])
        other = place.member / "other.toml"
        text = place.toml.read_text(encoding="utf-8")
        other.write_text(text.replace('folder = "state"', 'folder = "elsewhere"'))

        same_folder = fednode(place.folder, *RUN)
        same_key = fednode(place.folder, "run", "--config", str(other))
        status = status_of(place.member)

        for done in (same_folder, same_key):
            assert done.returncode == SICK
            said = sentence_of(done.stderr)
            assert re.search(f"is in use by process {first.pid}: .*stop that process or", said)
        assert status["is_running"]
    assert_ledger_holds(place.member)


def test_full_disk_stops_the_node_and_not_the_ledger(tmp_path: Path, broker: BrokerProcess) -> None:
    options = ContractOptions(name="long", training_rounds=1000, timeouts=timeouts_of(2.0, 1.0))
    found(tmp_path, ("one",), options)
    set_broker(tmp_path / "one" / "node.toml", broker.url)
    limited = f"ulimit -f {FILE_BLOCKS_MAX}; exec {' '.join(FEDNODE)} run --config one/node.toml"

    done = subprocess.run(
        ["/bin/bash", "-c", limited],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )

    assert done.returncode == SICK, done.stderr
    assert re.search("(?i)full|disk|too large", sentence_of(done.stderr))
    status = status_of(tmp_path / "one")
    assert status["certified_height"] > 0
    assert_ledger_holds(tmp_path / "one")
    with running(tmp_path, "run", "--config", "one/node.toml"):
        height = status["certified_height"]
        wait_for(tmp_path / "one", lambda now: now["certified_height"] > height)
    assert_ledger_holds(tmp_path / "one")


def test_training_that_diverges_sends_nothing_and_says_why(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    options = ContractOptions(
        name="wild", learning_rate=1e300, training_rounds=2, timeouts=timeouts_of(1.0, 1.0)
    )
    found(tmp_path, ("one",), options)
    set_broker(tmp_path / "one" / "node.toml", broker.url)

    with running(tmp_path, "run", "--config", "one/node.toml"):
        status = wait_for(tmp_path / "one", lambda status: status["certified_height"] > 0)

    assert status["training_round"] == 0
    assert "diverged, lower the learning rate" in status["live"]["error"]["text"]
    done = fednode(tmp_path, "ledger", "log", "one", "--json")
    assert json.loads(done.stdout)[0]["kind"] == "EMPTY"
    assert_ledger_holds(tmp_path / "one")
