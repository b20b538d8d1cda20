"""The wheel alone is enough: built, installed away from the checkout, and run from elsewhere."""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 150
NODES, TRAINING_ROUNDS = 4, 2
PACKAGES = ("fednode", "ledger", "consensus")
# Every process of the environment writes down where its modules came from.
WITNESS = f"""
import atexit, json, os, sys

def tell():
    files = [
        str(getattr(module, "__file__", ""))
        for name, module in tuple(sys.modules.items())
        if name.partition(".")[0] in {(*PACKAGES, "tests", "scripts")!r}
    ]
    with open(os.environ["FEDNODE_TEST_WITNESS"], "a") as file:
        file.write(json.dumps(files) + "\\n")

atexit.register(tell)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A virtual environment with the wheel, and a folder that has nothing to do with either."""

    environment: Path
    elsewhere: Path

    def run(self, *arguments: str) -> str:
        """Run a program of the environment; return what it printed."""
        program = self.environment / "bin" / arguments[0]
        done = subprocess.run(
            [program, *arguments[1:]],
            env=self.variables(),
            cwd=self.elsewhere,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def variables(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.elsewhere), "FEDNODE_TEST_WITNESS": str(self.witness)}

    @property
    def witness(self) -> Path:
        return self.environment / "witness.jsonl"

    def origins(self) -> list[list[str]]:
        """Per process the files of our modules."""
        lines = self.witness.read_text(encoding="utf-8").splitlines()
        return [files for line in lines if (files := json.loads(line))]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    environment, elsewhere = folder / "environment", folder / "elsewhere"
    elsewhere.mkdir()
    pip(sys.executable, "wheel", str(ROOT), "--no-deps", "--wheel-dir", str(folder), *isolation())
    (wheel,) = folder.glob("*.whl")
    venv.create(environment, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # The dependencies are those of this environment. Its own .pth files, such as that of an
    # editable installation, are not read by this way.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "sitecustomize.py").write_text(WITNESS)
    python = str(environment / "bin" / "python")
    pip(sys.executable, "--python", python, "install", "--no-deps", "--no-index", str(wheel))
    return Installed(environment=environment, elsewhere=elsewhere)


def isolation() -> tuple[str, ...]:
    """Build with what is here if it can; else pip fetches the build tool."""
    return ("--no-build-isolation",) if importlib.util.find_spec("hatchling") else ()


def pip(python: str, *arguments: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    done = subprocess.run(
        [python, "-m", "pip", *quiet, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_a_network_runs_and_is_verified_with_nothing_but_the_wheel(installed: Installed) -> None:
    sizes = ("--nodes", str(NODES), "--training-rounds", str(TRAINING_ROUNDS))

    usage = installed.run("fednode", "--help")
    report = json.loads(installed.run("fednode", "testnet", *sizes, "--dir", "network", "--json"))
    export, genesis = report["ledgers"][0]["export"], str(Path("network", "genesis.fed"))
    installed.run("python", "-m", "ledger", "verify", export, "--genesis", genesis)

    assert "testnet" in usage
    assert report["holds"]
    assert len(report["heights"]) == TRAINING_ROUNDS
    origins = installed.origins()
    assert len(origins) >= NODES + 3, "command, nodes, broker or auditor did not tell"
    foreign = {
        file
        for files in origins
        for file in files
        if not Path(file).is_relative_to(installed.environment)
    }
    assert foreign == set()


@pytest.mark.e2e
@pytest.mark.slow
def test_the_wheel_holds_the_three_packages_and_nothing_else(installed: Installed) -> None:
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(installed.environment)}))

    names = {path.name for path in packages.iterdir() if path.is_dir()}

    assert {name for name in names if not name.endswith(".dist-info")} - {"__pycache__"} == set(
        PACKAGES
    )
