"""One network for all tests of the commands that look at ledgers and models."""

import pytest

from tests.fednode.cli.support import Made, make_network


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_network(tmp_path_factory.mktemp("network"))
