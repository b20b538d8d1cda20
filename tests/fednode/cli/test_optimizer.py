"""How members train is chosen by one text, at both commands that make a contract."""

from pathlib import Path

import pytest

from fednode.cli import testnet
from fednode.founding.genesis_files import load_genesis
from fednode.founding.initial_model import settings_of
from fednode.learning.errors import SettingsError
from fednode.learning.local_terms import read_local_terms
from fednode.learning.optimizers import Adam
from fednode.testnet.plan import NetworkPlan
from tests.fednode.cli.support import invoke
from tests.fednode.founding.support import make_members

TEXT = "adam,b2=0.99,prox=0.01"


def test_optimizer_becomes_the_contract_and_comes_back_as_settings(tmp_path: Path) -> None:
    cards = [each.card_path for each in make_members(tmp_path, ("a", "b"))]
    out = tmp_path / "genesis.fed"

    invoke("genesis", "create", *cards, "--name", "n", "--out", out, "--optimizer", TEXT)

    contract = load_genesis(out).contract
    terms = read_local_terms(settings_of(contract))
    assert contract.training.optimizer == TEXT
    assert terms.optimizer == Adam(learning_rate=0.1, beta2=0.99)
    assert terms.proximal == 0.01


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--optimizer", "lbfgs"), "there is no optimizer 'lbfgs'"),
        (("--optimizer", "adam", "--momentum", 0.9), "momentum belongs to sgd"),
        (("--optimizer", "sgd,weights=1:2:3"), "3 class weights, the model 'logistic' 2 classes"),
    ],
)
def test_no_contract_is_made_with_an_optimizer_that_cannot_train(
    tmp_path: Path, options: tuple[object, ...], complaint: str
) -> None:
    cards = [each.card_path for each in make_members(tmp_path, ("a", "b"))]
    out = tmp_path / "genesis.fed"

    with pytest.raises(SettingsError, match=complaint):
        invoke("genesis", "create", *cards, "--name", "n", "--out", out, *options)

    assert not out.exists()


def test_networks_on_one_computer_take_the_same_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[NetworkPlan] = []

    def founded(folder: Path, plan: NetworkPlan, broker: object) -> Path:
        del broker
        plans.append(plan)
        return folder

    monkeypatch.setattr(testnet, "_founded", founded)
    monkeypatch.setattr(testnet, "_run", lambda *_, **__: None)

    invoke("testnet", "--nodes", 4, "--optimizer", TEXT, "--dir", tmp_path / "net")

    assert [plan.options.optimizer for plan in plans] == [TEXT]
