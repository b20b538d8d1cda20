"""The crash tests watch the SQLite of this very process, which not every Python lets them do."""

import pytest

from tests.conftest import skip_or_fail
from tests.crash.sqlite_vfs import is_observable


@pytest.fixture(autouse=True, scope="package")
def observable_sqlite() -> None:
    """Skip, or fail where it is required, if the functions of SQLite are out of reach."""
    if not is_observable():
        skip_or_fail("sqlite", "this Python hides the functions of its SQLite (or is not on Linux)")
