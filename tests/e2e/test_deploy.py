"""docs/deploy.md, executed as it stands: four hospitals, four homes, a broker with passwords."""

import json
import os
import socket
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from fednode.config import load_config
from fednode.founding.keys import load_key_file
from fednode.founding.membership import open_membership
from tests.conftest import RequireData
from tests.test_docs import commands_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "deploy.md"
SITES = ("cleveland", "hungarian", "switzerland", "va")
HEIGHTS = 5
SESSION_TIMEOUT_S = 180

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def session_of(document: Path) -> str:
    """The document's commands as one script that stops at the first failure."""
    commands = commands_of(document.read_text(encoding="utf-8"))
    port = f"PORT={free_port()}"
    assert commands[0].startswith("PORT=")
    # What still runs ends with the script, also when a command fails.
    head = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    return "\n".join([*head, port, *commands[1:]]) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture
def played(
    place: Path, require_data: RequireData, mosquitto_binary: Path
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder in which the session was played once for all tests, and its outcome."""
    outcome = place / "outcome.json"
    if not outcome.exists():
        environment = {
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), str(mosquitto_binary.parent), os.defpath]
            ),
            "HOME": str(place),
            "DATA": str(require_data("heart_disease_uci")),
        }
        script = place / "session.sh"
        script.write_text(session_of(DOCUMENT), encoding="utf-8")
        done = subprocess.run(
            ["/bin/bash", str(script)],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SESSION_TIMEOUT_S,
            check=False,
        )
        outcome.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    code, output, errors = json.loads(outcome.read_text())
    return place, subprocess.CompletedProcess("session", code, output, errors)


Played = tuple[Path, subprocess.CompletedProcess[str]]


def test_every_command_of_the_document_succeeds(played: Played) -> None:
    place, done = played
    logs = {site: (place / site / "log").read_text() for site in SITES}

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
    assert done.stdout.count("every check holds") == len(SITES) + 1


def test_all_nodes_finish_with_one_ledger(played: Played) -> None:
    place, _ = played
    committed = {}
    for site in SITES:
        lines = (place / site / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        blocks = {
            each["height"]: each["block_id"] for each in events if each["event"] == "committed"
        }
        committed[site] = blocks

    assert set(committed["va"]) == set(range(1, HEIGHTS + 1))
    assert all(committed[site] == committed["va"] for site in SITES)
    exports = {(place / "public" / f"{site}.ledger").read_bytes() for site in SITES}
    assert len(exports) == 1


def test_only_public_files_changed_hands(played: Played) -> None:
    place, _ = played
    public = {path.name for path in (place / "public").iterdir()}
    contents = b"".join(path.read_bytes() for path in (place / "public").iterdir())

    assert public == {
        *(f"{site}.{end}" for site in SITES for end in ("card", "signed.fed", "ledger")),
        "genesis.fed",
        "network-key.sealed",
        "ledger.fed",
        "model.safetensors",
    }
    for site in SITES:
        config = load_config(place / site / "member" / "node.toml")
        secret = bytes.fromhex(config.node.key_file.read_text().strip())
        password = (place / site / "broker-password").read_bytes().strip()
        for each in (secret, secret.hex().encode(), password):
            assert each not in contents
        assert open_membership(config).network_key.key not in contents
        assert config.data is not None
        rows = Path(config.data.source).read_bytes().splitlines()
        assert not [row for row in rows if row and row in contents]


def test_what_two_hospitals_have_in_common_is_public_or_certified(played: Played) -> None:
    place, _ = played
    published = digests(place / "public")
    # Ledger and bodies, which came over the broker, sealed, lie in `state`.
    shared: set[str] = set()
    seen: set[str] = set()
    for site in SITES:
        own = digests(place / site, without="state")
        shared |= seen & own
        seen |= own

    assert shared <= published


def test_every_hospital_has_its_own_key_and_password(played: Played) -> None:
    place, _ = played
    keys = {load_key_file(place / site / "member" / "member.key").public_key for site in SITES}
    passwords = {(place / site / "broker-password").read_bytes() for site in SITES}

    assert len(keys) == len(passwords) == len(SITES)


def digests(folder: Path, *, without: str = "") -> set[str]:
    return {
        sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and without not in path.parts
    }
