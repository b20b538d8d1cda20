"""A ledger that four members made in this process, and the commands that look at it."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from fednode.cli import app
from fednode.founding.contracts import ContractOptions
from fednode.founding.genesis_files import save_genesis
from fednode.learning.data_spec import DataSpec
from fednode.transport.memory import MemoryHub, MemoryTransport
from ledger.genesis import Genesis
from tests.support.network import found_network, run_network

SITES = 4
TRAINING_ROUNDS = 3
SITE_OF = "000123"
"""The site of each row in turn: one has more rows than the others, so that powers change."""
ROWS = 12 * len(SITE_OF)


@dataclass(frozen=True)
class Made:
    """What the network left: rows, genesis and the members' folders."""

    folder: Path
    genesis: Genesis

    @property
    def rows(self) -> Path:
        return self.folder / "rows.csv"

    @property
    def genesis_file(self) -> Path:
        return self.folder / "genesis.fed"

    def member(self, number: int) -> Path:
        return self.folder / f"member-{number}"


def make_network(folder: Path) -> Made:
    lines = ["age,dose,site,sick"]
    for row in range(ROWS):
        age = row // len(SITE_OF)
        lines.append(f"{age},{age % 3},{SITE_OF[row % len(SITE_OF)]},{int(age > 5)}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = DataSpec(source=str(folder / "rows.csv"), label="sick", site_column="site")
    options = ContractOptions(name="made", training_rounds=TRAINING_ROUNDS)
    peers = found_network(folder, spec, options)
    hub = MemoryHub()
    transports = [MemoryTransport(hub, name=str(number)) for number in range(SITES)]
    asyncio.run(run_network(peers, TRAINING_ROUNDS, transports))
    genesis = peers[0].membership.genesis
    save_genesis(folder / "genesis.fed", genesis)
    return Made(folder=folder, genesis=genesis)


def invoke(*arguments: object) -> Result:
    """Run a command in this process; errors come out as they are."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def json_of(*arguments: object) -> Any:  # noqa: ANN401  # whatever the command prints
    return json.loads(invoke(*arguments, "--json").output)
