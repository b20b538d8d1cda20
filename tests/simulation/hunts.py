"""How each planted fault is looked for: where it can show, and how soon it does."""

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulation.forger import run_forged
from tests.simulation.mutants import MUTANTS
from tests.simulation.packets import ViolationError
from tests.simulation.runner import run_seed
from tests.twins.runner import run_seed as run_twins

ROOT: Final = Path(__file__).resolve().parent.parent.parent
HEIGHTS: Final = 5
SEEDS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A fault that was found: where, after how many seeds (of tests: how many fail), as what."""

    where: str
    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """Where a fault is looked for.

    Attributes:
        where: `simulator`, `full seeds`, `twins of N` (drawn), `forger`, or a file of tests.
        known: A seed that found it in some version: where a search may begin.
    """

    where: str = "simulator"
    known: int = 0


HUNTS: Final[dict[str, Hunt]] = {
    "cap_by_one": Hunt(where="tests/ledger/test_powers.py"),
    "certificate_believed": Hunt(where="forger"),
    "certificate_without_power": Hunt(where="forger"),
    "counted_heads": Hunt(where="twins of 7"),
    "evidence_believed": Hunt(where="forger"),
    "float_mean": Hunt(where="tests/fednode/aggregation/test_mean.py"),
    "garbage_believed": Hunt(where="full seeds"),
    "mean_for_median": Hunt(where="full seeds"),
    "no_chain_id": Hunt(where="tests/ledger/test_keys.py"),
    "forgotten_lock": Hunt(known=148),
    "forgotten_proof": Hunt(where="tests/byzantine/test_network.py"),
    "nil_unlocks": Hunt(known=1024),
    "no_certificate": Hunt(where="tests/consensus/test_rules_prepare.py"),
    "no_entry_proof": Hunt(known=432),
    "no_lock": Hunt(known=121),
    "no_lock_again": Hunt(where="tests/consensus/test_rules_prepare.py"),
    "no_lock_fresh": Hunt(known=121),
    "no_metrics": Hunt(known=67),
    "no_tag": Hunt(where="tests/ledger/test_keys.py"),
    "quorum_of_two_thirds": Hunt(where="twins of 6"),
    "root_without_scores": Hunt(where="tests/ledger/test_state.py"),
    "unsigned_valid_view": Hunt(where="tests/ledger/test_keys.py"),
    "unsorted_updates": Hunt(where="tests/ledger/test_inclusion.py"),
    "view_jump": Hunt(where="tests/consensus/test_votes.py"),
}
"""The others show in the simulator."""


def hunt(mutant: str, *, seeds: range) -> Kill | None:
    """Look for a planted fault.

    Args:
        mutant: A name of `MUTANTS`.
        seeds: Where seeds are drawn, these.

    Returns:
        How it was found; None if it survived.
    """
    where = HUNTS.get(mutant, Hunt()).where
    if where.startswith("tests/"):
        return _by_tests(mutant, where)
    look = _look(mutant, where)
    for number, seed in enumerate(seeds, start=1):
        reason = look(seed)
        if reason is not None:
            return Kill(where=where, number=number, reason=reason)
    return None


def dies(mutant: str) -> bool:
    """Whether a fault is found: first with the seed that is known, then with all others."""
    known = HUNTS.get(mutant, Hunt()).known
    first = hunt(mutant, seeds=range(known, known + 1))
    return first is not None or hunt(mutant, seeds=range(SEEDS_MAX)) is not None


def _look(mutant: str, where: str) -> Callable[[int], str | None]:
    if where == "simulator":
        return lambda seed: run_seed(seed, heights=HEIGHTS, mutant=mutant).failure
    if where == "full seeds":
        return lambda seed: run_seed(seed, heights=HEIGHTS, profile="full", mutant=mutant).failure
    if where == "forger":
        return lambda seed: _forged(mutant, seed)
    nodes = int(where.rpartition(" ")[2])
    return lambda seed: next(iter(run_twins(nodes, seed, mutant=mutant)[1]), None)


def _forged(mutant: str, seed: int) -> str | None:
    try:
        with MUTANTS[mutant]():
            run_forged(seed)
    except ViolationError as error:
        return str(error)
    except Exception:  # noqa: BLE001  # a crash of the engine is a finding
        return traceback.format_exc()
    return None


def _by_tests(mutant: str, file: str) -> Kill | None:
    """Run a file of tests with the fault planted; the number is that of the tests that fail."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.simulation.planting", file],
        env={**os.environ, "FEDNODE_MUTANT": mutant},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.MULTILINE)
    if not failed:
        return None
    return Kill(where=file, number=len(failed), reason=failed[0])
