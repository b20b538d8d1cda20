"""A plugin of pytest that plants a fault before tests are collected.

`FEDNODE_MUTANT=no_tag python -m pytest -p tests.simulation.planting tests/ledger/test_keys.py`
"""

import os
from contextlib import ExitStack

import pytest

from tests.simulation.mutants import MUTANTS


def pytest_configure(config: pytest.Config) -> None:
    """Plant the fault that `FEDNODE_MUTANT` names until pytest ends."""
    planted = ExitStack()
    planted.enter_context(MUTANTS[os.environ["FEDNODE_MUTANT"]]())
    config.add_cleanup(planted.close)
