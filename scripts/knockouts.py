"""Take out of a copy of the sources one branch per rule of the protocol; some test must notice."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.knockouts import KNOCKOUTS, Knockout  # noqa: E402  # the path must be set first

COPIED = ("ledger", "consensus", "fednode", "tests", "docs", "scripts", "pyproject.toml")
TIMEOUT_S = 300
UNNOTICED = "NOT NOTICED"


def main() -> int:
    """Try the knock-outs of the rules named, or all; return 1 if one goes unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rules", nargs="*", help="rule numbers such as P22; all unless given")
    wanted = set(parser.parse_args().rules)
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="knockouts-") as name:
        copy = Path(name)
        copy_sources(copy)
        for knockout in KNOCKOUTS:
            if not wanted or knockout.rule in wanted:
                unnoticed += not tried(copy, knockout)
    return 1 if unnoticed else 0


def copy_sources(target: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def tried(root: Path, knockout: Knockout) -> bool:
    """Run the tests without the branch, put it back, and say in a line what happened."""
    path = root / knockout.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(knockout.old, knockout.new), encoding="utf-8")
    started = time.monotonic()
    try:
        outcome = run_tests(root, knockout.tests.split(" -k ")[:2])
    finally:
        path.write_text(whole, encoding="utf-8")
    took = f"{time.monotonic() - started:.1f} s"
    print(f"{knockout.rule:5} {knockout.file:32} {outcome:40} {took}", flush=True)
    return not outcome.startswith(UNNOTICED)


def run_tests(root: Path, arguments: list[str]) -> str:
    """Return the first test that fails, or that none does: also where none could run."""
    selection = [*arguments[0].split(), *(["-k", arguments[1]] if len(arguments) > 1 else [])]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *selection]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env={"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "a test does not end"
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if not failed:
        return f"{UNNOTICED}: exit status {done.returncode} of pytest"
    return failed[0].split("::")[-1].split(" - ")[0]


if __name__ == "__main__":
    sys.exit(main())
