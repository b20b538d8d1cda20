"""Judge the models of a network on rows that no member has, by the members' own evaluation code."""

import logging
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from fednode.config import NodeConfig
from fednode.errors import ConfigError
from fednode.folders import read_model_body
from fednode.founding.initial_model import settings_of
from fednode.founding.membership import own_code
from fednode.learning.dataset import Dataset
from fednode.learning.errors import TrainerError
from fednode.learning.learner import Metrics
from fednode.learning.learner_file import NO_CODE, OwnCode
from fednode.learning.local_training import LocalTraining
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.registry import build_learner
from fednode.prediction import body_values
from fednode.testnet.folders import NetworkFolder
from fednode.testnet.site_files import load_rows
from ledger.genesis import Contract

logger = logging.getLogger(__name__)


class Scorer:
    """Evaluates models by id; each is evaluated once.

    Args:
        folder: The network's.
        contract: Its terms.
        test: The held-out rows.
        code: Where the members' own learner is.
    """

    def __init__(
        self, folder: NetworkFolder, contract: Contract, test: Dataset, code: OwnCode = NO_CODE
    ) -> None:
        self._folder = folder
        self._contract = contract
        settings = settings_of(contract)
        self._judge = LocalTraining(
            learner=build_learner(settings, len(contract.data.features), {"test": test}, code),
            settings=settings,
            tensors=contract.model.tensors,
            member=0,
            momenta=MomentumMemory(),
        )
        self._known: dict[str, Metrics] = {}

    def score(self, model_id: str) -> Metrics | None:
        """Return figures of a model; None while no member holds it, or if the learner fails.

        Args:
            model_id: As hexadecimal text.
        """
        if model_id not in self._known:
            model = self._find(model_id)
            if model is None:
                return None
            try:
                self._known[model_id] = self._judge.evaluate(model, "test")
            except TrainerError as error:
                logger.warning("model %s has no figures: %s", model_id[:8], error)
                return None
        return self._known[model_id]

    def _find(self, model_id: str) -> NDArray[np.int32] | None:
        for member in self._contract.members:
            state = self._folder.state(member.name)
            with suppress(ConfigError):  # this member does not hold it yet
                body = read_model_body(state, bytes.fromhex(model_id))
                return body_values(body, self._contract)
        return None


def make_scorer(folder: NetworkFolder, contract: Contract, config: NodeConfig) -> Scorer | None:
    """Return the scorer of a network; None if no rows were held out.

    Raises:
        DataError: If the held-out rows cannot be read.
    """
    if not folder.test_rows.is_file():
        return None
    test = load_rows(folder.test_rows, config, contract.data.features)
    return Scorer(folder, contract, test, own_code(config, contract))
