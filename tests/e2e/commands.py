"""Running real commands: a member's folder, `fednode` as a process, and what it said."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from fednode.cli import app
from fednode.config import BrokerSection, NodeConfig, load_config, write_config
from ledger.store import DATABASE_NAME

FEDNODE = (sys.executable, "-P", "-m", "fednode")
COMMAND_TIMEOUT_S = 60
FIRST_CONNECT_MS = 2_000


@dataclass(frozen=True)
class Place:
    """A member's folder whose network finished, and the broker that it used."""

    folder: Path
    broker_url: str

    @property
    def member(self) -> Path:
        return self.folder / "one"

    @property
    def toml(self) -> Path:
        return self.member / "node.toml"

    @property
    def config(self) -> NodeConfig:
        return load_config(self.toml)

    @property
    def database(self) -> Path:
        return self.member / "state" / DATABASE_NAME

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def edit_config(self, old: str, new: str) -> None:
        text = self.toml.read_text(encoding="utf-8")
        assert old in text
        self.toml.write_text(text.replace(old, new), encoding="utf-8")


def fednode(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FEDNODE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*FEDNODE, *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=COMMAND_TIMEOUT_S)


def status_of(member: Path) -> dict[str, Any]:
    """What `fednode status` says; empty before there is a ledger."""
    done = CliRunner().invoke(app, ["status", str(member), "--json"])
    status: dict[str, Any] = json.loads(done.stdout) if done.exit_code == 0 else {}
    return status


def wait_for(member: Path, is_done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The status of a member once `is_done` says so."""
    deadline = time.monotonic() + COMMAND_TIMEOUT_S
    while time.monotonic() < deadline:
        status = status_of(member)
        if status and is_done(status):
            return status
        time.sleep(0.1)
    raise AssertionError(f"not within {COMMAND_TIMEOUT_S} s: {status_of(member)}")


def set_broker(toml: Path, url: str, **settings: object) -> None:
    config = load_config(toml)
    section = BrokerSection.model_validate(
        {"url": url, "first_connect_ms": FIRST_CONNECT_MS, **settings}
    )
    write_config(toml, config.model_copy(update={"broker": section}))


def sentence_of(errors: str) -> str:
    """What a command said at its end: no traceback, and one line but for lists."""
    said = [line for line in errors.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert said, errors
    assert said[0].startswith("fednode: "), errors
    assert "Traceback" not in errors
    assert "bug in fednode" not in errors
    assert [line for line in said[1:] if not line.startswith("  ")] == [], errors
    return "\n".join(said)


def assert_ledger_holds(member: Path) -> None:
    done = CliRunner().invoke(app, ["ledger", "verify", str(member / "state")])
    assert done.exit_code == 0, done.output
    assert "every check holds" in done.output


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
