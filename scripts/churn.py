#!/usr/bin/env python3
"""Run a network whose nodes are wiped, replaced, rotated and sent away again and again.

Real processes, and the commands that people use: `scripts/churn.py --heights 300`. At the end all
ledgers are verified and compared; exit code 1 if one does not hold or something did not come about.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from fednode.cli import app
from fednode.config import BrokerSection, load_config
from fednode.folders import open_ledger
from fednode.founding.contracts import ContractOptions
from fednode.learning.data_spec import DataSpec
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.founders import found_network
from fednode.testnet.plan import LOCAL_TIMEOUTS, NetworkPlan
from ledger.records import block_id

MEMBERS = 5
WAIT_S = 120.0
"""Longest wait for anything that has to come about."""
POLL_S = 0.2
FIRST_HEIGHTS = 2
KINDS = ("wipe", "lose", "rotate", "leave")
FEDNODE = (sys.executable, "-m", "fednode")


@dataclass
class Member:
    """A member's folder and its process."""

    name: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.folder / "node.toml"

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.folder / "state"


@dataclass
class Churn:
    """The network and what has been done to it."""

    root: Path
    port: int
    rng: random.Random
    members: list[Member] = field(default_factory=list)
    past: list[Member] = field(default_factory=list)
    broker: "subprocess.Popen[bytes] | None" = None
    done: Counter[str] = field(default_factory=Counter)
    newcomers: int = 0

    def found(self) -> None:
        """Make the founders and start everything."""
        options = ContractOptions(
            name="churn",
            training_rounds=1_000_000,
            local_steps=2,
            min_updates=2,
            trainer_budget=0,
            timeouts=LOCAL_TIMEOUTS,
        )
        spec = DataSpec(source="sklearn:breast_cancer", split="iid", sites=MEMBERS)
        url = f"mqtt://127.0.0.1:{self.port}"
        folder = NetworkFolder(root=self.root / "network")
        folder.root.mkdir()
        genesis = found_network(folder, NetworkPlan(data=spec, options=options), broker_at(url))
        for each in genesis.contract.members:
            self.members.append(Member(name=each.name, folder=folder.member(each.name)))
        self.broker = subprocess.Popen(
            [*FEDNODE, "broker", "--port", str(self.port)], stdout=subprocess.DEVNULL
        )
        for member in self.members:
            self.start(member)
        self.wait("the first heights", lambda: self.height(self.members[0]) >= FIRST_HEIGHTS)

    def start(self, member: Member) -> None:
        """Start a member's node."""
        with (self.root / f"{member.folder.name}.log").open("ab") as log:
            member.process = subprocess.Popen(
                [*FEDNODE, "run", "--config", str(member.config)],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )

    def kill(self, member: Member) -> None:
        """Kill a member's node without warning."""
        if member.process is not None:
            member.process.kill()
            member.process.wait()
            member.process = None

    def command(self, *words: str) -> str:
        """Run a command; return what it printed."""
        done = subprocess.run([*FEDNODE, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"fednode {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def data(self, *words: str) -> dict[str, Any]:
        """Run a command that only looks; return the JSON that it printed.

        It runs in this process: a process for each look would take more than the nodes do.
        """
        done = CliRunner().invoke(app, [*words, "--json"])
        if done.exit_code:
            raise RuntimeError(f"fednode {' '.join(words)}: {done.output.strip()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def status(self, member: Member) -> dict[str, Any]:
        """What `fednode status` says; empty while there is no ledger."""
        try:
            return self.data("status", str(member.folder))
        except RuntimeError:
            return {}

    def height(self, member: Member) -> int:
        """Height of a member's ledger."""
        return int(self.status(member).get("certified_height", 0))

    def listed(self, at: Member, name: str) -> dict[str, Any]:
        """The newest member of a name, as another one sees it."""
        found = self.data("member", "list", "--config", str(at.config))["members"]
        return dict(next(each for each in reversed(found) if each["name"] == name))

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something came about.

        Raises:
            RuntimeError: If it does not within `WAIT_S`, or a node ended.
        """
        until = time.monotonic() + WAIT_S
        while not is_so():
            for member in self.members:
                if member.process is not None and member.process.poll() is not None:
                    raise RuntimeError(f"{member.name} ended while waiting for {what}")
            if time.monotonic() > until:
                raise RuntimeError(f"not within {WAIT_S:g} s: {what}")
            time.sleep(POLL_S)

    def wait_for_part(self, member: Member) -> None:
        """Wait until a member's vote and update are in blocks again."""
        other = next(each for each in self.members if each is not member)
        begun = self.height(other)

        def takes_part() -> bool:
            seen = [
                each
                for each in self.status(other).get("members", ())
                if each["name"] == member.name and each["standing"] == "active"
            ]
            return (
                bool(seen)
                and min(seen[0]["last_vote_height"], seen[0]["last_included_height"]) > begun
            )

        self.wait(f"{member.name} to take part", takes_part)

    # --- what is done to members ----------------------------------------------------------------

    def wipe(self, member: Member) -> None:
        """Lose the state folder, not the key."""
        self.kill(member)
        shutil.rmtree(member.state)
        self.start(member)
        self.wait_for_part(member)

    def lose(self, member: Member) -> None:
        """Lose everything, also the key: the others evict the member, which joins anew."""
        self.kill(member)
        rows = load_config(member.config).data
        assert rows is not None, "every founder has rows"
        others = [each for each in self.members if each is not member]
        self.agree(others[0], others[1:], "evict", member.name)
        self.wait("the eviction", lambda: self.listed(others[0], member.name)["power"] == 0)
        self.past.append(member)
        self.replace(member, others)

    def leave(self, member: Member) -> None:
        """Leave, and come back with a new key."""
        others = [each for each in self.members if each is not member]
        self.command("member", "leave", "--config", str(member.config))
        self.wait("the leaving", lambda: self.listed(others[0], member.name)["standing"] == "gone")
        self.kill(member)
        self.past.append(member)
        self.replace(member, others)

    def rotate(self, member: Member) -> None:
        """Get another key while the node runs; start it again with that key alone."""
        others = [each for each in self.members if each is not member]
        before = self.listed(others[0], member.name)["public_key"]
        self.agree(member, others, "rotate")
        self.wait(
            "the new key",
            lambda: self.listed(others[0], member.name)["public_key"] != before,
        )
        self.wait_for_part(member)
        self.kill(member)
        self.start(member)
        self.wait_for_part(member)

    def agree(self, sponsor: Member, others: list[Member], *words: str) -> None:
        """Let one member ask for an operation and the others approve it."""
        said = self.command("member", *words, "--config", str(sponsor.config))
        lines = (line.split() for line in said.splitlines())
        wanted = next(words[1] for words in lines if words and words[0] == "id")
        for other in others:
            self.command("member", "approve", wanted, "--config", str(other.config))

    def replace(self, member: Member, others: list[Member]) -> None:
        """Found the member's folder anew and let it join."""
        self.newcomers += 1
        sponsor = others[0]
        folder = self.root / f"newcomer-{self.newcomers}"
        settings = load_config(member.config)
        assert settings.data is not None
        fresh = Member(name=member.name, folder=folder)
        self.command(
            "init", str(folder), "--name", member.name, "--broker", settings.broker.url,
            "--data", settings.data.source, "--label", settings.data.label,
        )  # fmt: skip
        shutil.copy(load_config(sponsor.config).node.genesis_file, folder / "genesis.fed")
        card = folder / "join-card"
        self.command(
            "member", "card", "--config", str(fresh.config),
            "--height", str(self.height(sponsor)), "--out", str(card),
        )  # fmt: skip
        self.agree(sponsor, others[1:], "join", str(card))
        self.wait("the JOIN", lambda: "pending" in self.listed(sponsor, member.name)["standing"])
        self.command(
            "member", "invite", member.name, "--config", str(sponsor.config), "--out", str(folder)
        )
        self.members[self.members.index(member)] = fresh
        self.start(fresh)
        self.wait_for_part(fresh)

    # --- the run --------------------------------------------------------------------------------

    def run(self, heights: int) -> None:
        """Go on until every member has so many heights."""
        self.found()
        turn = 0
        while turn < len(KINDS) or self.height(self.members[0]) < heights:
            kind = KINDS[turn % len(KINDS)]
            member = self.rng.choice(self.members)
            begun = time.monotonic()
            getattr(self, kind)(member)
            self.done[kind] += 1
            turn += 1
            height = self.height(self.members[0])
            took = time.monotonic() - begun
            print(f"height {height}: {kind} of {member.name} took {took:.1f} s", flush=True)
        goal = max(self.height(each) for each in self.members)
        self.wait("one height for all", lambda: all(self.height(m) >= goal for m in self.members))

    def stop(self) -> None:
        """Stop nodes and broker."""
        for member in self.members:
            if member.process is not None:
                member.process.terminate()
        for member in self.members:
            if member.process is not None:
                member.process.wait()
        if self.broker is not None:
            self.broker.terminate()
            self.broker.wait()

    def verify(self) -> bool:
        """Verify all ledgers, and that each is a part of the longest; say what was found."""
        exports = {}
        for member in (*self.members, *self.past):
            said = self.command("ledger", "verify", str(member.state))
            holds = "every check holds" in said
            with open_ledger(member.state) as ledger:
                chain = [block_id(each.header).hex() for each in ledger.blocks(1, ledger.head)]
            exports[member.folder.name] = chain
            print(f"{member.folder.name}: {len(chain)} blocks, holds: {holds}", flush=True)
            if not holds:
                return False
        longest = max(exports.values(), key=len)
        return all(chain == longest[: len(chain)] for chain in exports.values())


def broker_at(url: str) -> BrokerSection:
    """The broker as configurations name it; nodes wait for it."""
    return BrokerSection(url=url, keep_trying=True)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    """Run the network; exit code 1 if something did not come about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heights", type=int, default=300, help="heights to reach")
    parser.add_argument("--seed", type=int, default=0, help="whom it happens to")
    parser.add_argument("--dir", type=Path, help="folder to keep; left out: a temporary one")
    options = parser.parse_args()
    root = options.dir or Path(tempfile.mkdtemp(prefix="churn-"))
    root.mkdir(exist_ok=True)
    churn = Churn(root=root, port=free_port(), rng=random.Random(options.seed))
    try:
        churn.run(options.heights)
    except RuntimeError as error:
        print(f"churn: {error}; see {root}", flush=True)
        sys.exit(1)
    finally:
        churn.stop()
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(churn.done.items())))
    if not churn.verify():
        sys.exit(1)
    print("all ledgers hold and are equal")
    if options.dir is None:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
