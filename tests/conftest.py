"""What all tests share: the seed, the real data, the real broker and PyTorch.

`FEDNODE_TEST_DATA` names the folder with the real data sets. `FEDNODE_REQUIRE`, a list with
commas, names what must be there (`data`, `mosquitto`, `sqlite`, `torch`): its absence then fails
instead of skipping.
"""

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TypeAlias

import hypothesis
import pytest

# Before any test module loads numpy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

DEFAULT_SEED = 20_240_229
LONGEST_FIRST = (
    "tests/e2e/test_faults.py",
    "tests/e2e/test_actors.py",
    "tests/simulation/test_gate.py",
    "tests/e2e/test_processes.py",
    "tests/e2e/test_bad_input.py",
    "tests/e2e/test_scripts.py",
    "tests/e2e/test_churn.py",
    "tests/e2e/test_demo.py",
    "tests/twins/test_campaigns.py",
    "tests/crash/test_power_cuts.py",
    "tests/e2e/test_lost_state.py",
    "tests/ledger/test_properties.py",
    "tests/e2e/test_deploy.py",
    "tests/e2e/test_one_hash.py",
    "tests/e2e/test_hospitals.py",
    "tests/e2e/test_wheel.py",
    "tests/e2e/test_large_model.py",
    "tests/test_docs.py",
    "tests/simulation/test_membership.py",
    "tests/byzantine/test_actors.py",
    "tests/simulation/test_lost_state.py",
    "tests/e2e/test_flood_memory.py",
)
"""The files of tests that take more than ten seconds, the longest first."""
RequireData: TypeAlias = Callable[[str], Path]

# No deadline: the time of one example depends on the machine. In CI the examples are always the
# same, so that a change never fails for a reason older than itself. A fault that was planted
# (tests/simulation/hunts.py) is to be found; nobody looks for the smallest example that shows it.
WITH_FAULT = {hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate}
hypothesis.settings.register_profile(
    "fednode",
    deadline=None,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
    phases=WITH_FAULT if "FEDNODE_MUTANT" in os.environ else tuple(hypothesis.Phase),
)
hypothesis.settings.load_profile("fednode")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed", type=int, default=DEFAULT_SEED, help="seed of the tests that draw at random"
    )
    parser.addoption(
        "--update-transcripts",
        action="store_true",
        help="write what the commands of the transcripts print now into their files",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In one of several processes, begin with what takes longest: they then end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: rank(item.nodeid.partition("::")[0]))


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')} (replay with --seed)"


def rank(file: str) -> int:
    """The place of a file among those that take long; all others come after them."""
    return LONGEST_FIRST.index(file) if file in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run, shown with a failing test's output."""
    value = int(request.config.getoption("--seed"))
    sys.stdout.write(f"replay with: scripts/test {request.node.nodeid} --seed {value}\n")
    return value


def skip_or_fail(need: str, reason: str) -> NoReturn:
    """Skip the test, or fail it when `FEDNODE_REQUIRE` names the need."""
    if need in os.environ.get("FEDNODE_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and FEDNODE_REQUIRE names {need!r}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def require_data() -> RequireData:
    """A function that returns the path of one entry of the real data."""

    def find(name: str) -> Path:
        folder = os.environ.get("FEDNODE_TEST_DATA")
        if not folder:
            skip_or_fail("data", "FEDNODE_TEST_DATA is not set: no real data")
        path = Path(folder, name)
        if not path.exists():
            skip_or_fail("data", f"no {name} in the folder of FEDNODE_TEST_DATA, {folder}")
        return path

    return find


@pytest.fixture
def torch() -> ModuleType:
    """PyTorch, which the gate installs and `scripts/check` does not."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        skip_or_fail("torch", "PyTorch is not installed")


@pytest.fixture
def mosquitto_binary() -> Path:
    """The mosquitto broker, which Debian installs outside an ordinary user's PATH."""
    search_path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("mosquitto", path=search_path)
    if found is None:
        skip_or_fail("mosquitto", "no mosquitto broker in PATH or /usr/sbin")
    return Path(found)
