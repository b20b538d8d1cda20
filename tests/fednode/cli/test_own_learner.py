"""`fednode genesis create` with a learner in a file, or with a model to start from (rule P1)."""

from pathlib import Path

from typer.testing import CliRunner

from fednode.cli import app
from fednode.cli.failures import ExitCode
from fednode.config import INITIAL_MODEL_NAME
from fednode.founding.genesis_files import load_genesis
from fednode.founding.initial_model import initial_model_body
from ledger.bodies import body_id
from tests.fednode.cli.support import invoke
from tests.fednode.founding.support import make_members
from tests.support.user_learner import MODEL, write_learner


def test_learner_in_a_file_becomes_the_contract_and_goes_with_its_initial_model(
    tmp_path: Path,
) -> None:
    code = write_learner(tmp_path)
    cards = [each.card_path for each in make_members(tmp_path, ("a", "b"))]
    out = tmp_path / "genesis.fed"
    learner = ("--learner", f"{code.file}:MyLearner")

    told = invoke("genesis", "create", *cards, "--name", "own", "--out", out, *learner).output

    contract = load_genesis(out).contract
    body = initial_model_body(contract, tmp_path / INITIAL_MODEL_NAME)
    assert contract.model.architecture == MODEL
    assert body_id(body) == contract.model.initial_model_id
    assert all(name in " ".join(told.split()) for name in (str(code.file), INITIAL_MODEL_NAME))
    assert contract.training.learner_hash.hex() in told
    following = ("--name", "next", "--out", tmp_path / "next" / "genesis.fed")
    (tmp_path / "next").mkdir()
    given = tmp_path / INITIAL_MODEL_NAME
    start = ("--initial-model", given)
    shown = invoke("genesis", "create", *cards, *following, *learner, *start).output
    assert "the founders' file" in shown
    assert (tmp_path / "next" / INITIAL_MODEL_NAME).read_bytes() == given.read_bytes()


def test_model_and_learner_together_are_refused() -> None:
    options = ("--name", "own", "--model", "mlp", "--learner", "my.py:MyLearner")

    done = CliRunner().invoke(app, ["genesis", "create", "a.card", *options])

    assert done.exit_code == ExitCode.WRONG_INPUT
    assert "expected --model or --learner, got both" in done.output
