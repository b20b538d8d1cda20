"""A member's own learner: found, bound to its bytes, and every mistake in it one sentence (P1)."""

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from fednode.learning.errors import DataError, SettingsError, TrainerError
from fednode.learning.job import save_job
from fednode.learning.learner_file import OwnCode, parse_learner
from fednode.learning.local_training import LocalTraining
from fednode.learning.models import tensor_table
from fednode.learning.momentum_store import MomentumMemory
from fednode.learning.own_learner import build_own
from fednode.learning.registry import build_learner, initial_model, learner_hash
from fednode.learning.trainer import TrainerProcess
from tests.fednode.learning.builders import SETTINGS, separable
from tests.fednode.learning.test_trainer import build_job
from tests.support.user_learner import MISTAKES, MODEL, SOURCE, source_with, write_learner

OWN = replace(SETTINGS, model=MODEL)
TENSORS = tensor_table({"slope": np.zeros(3), "offset": np.zeros(1)})
MODEL_VALUES = np.zeros(4, dtype=np.int32)
EXPECTED = {
    "another shape": r"expected shape \(3,\) for tensor 'slope', got \(4,\)",
    "no number": r"expected an array of numbers for tensor 'slope', got dtype <U\d+",
    "complex": r"expected an array of numbers for tensor 'slope', got dtype complex128",
    "NaN": r"expected finite values in tensor 'offset', got nan at \[0\]: the training diverged",
    "NaN loss": r"the loss is nan: the training diverged, lower the learning rate",
    "exception": r"ValueError: the rows are odd \(line 25 of .*my_learner\.py\)",
    "exit": r"SystemExit: enough \(line 25 of .*my_learner\.py\)",
    "nothing returned": r"expected a FitResult, got NoneType",
    "another name": r"expected tensors named \['slope', 'offset'\], got \['slope', 'bias'\]",
    "missing package": r"ModuleNotFoundError: No module named 'no_such_package' \(line 25 of",
    "text for a figure": r"expected a number for the figure 'loss', got 'low'",
}


def local(code: OwnCode) -> LocalTraining:
    learner = build_learner(OWN, 3, {"training": separable()}, code)
    return LocalTraining(
        learner=learner,
        settings=OWN,
        tensors=TENSORS,
        member=2,
        momenta=MomentumMemory(),
    )


def test_learner_in_a_file_trains(tmp_path: Path) -> None:
    outcome = local(write_learner(tmp_path)).fit(1, MODEL_VALUES)

    assert outcome.delta[0] > 1000
    assert outcome.samples == 40


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_fit_is_one_sentence(tmp_path: Path, mistake: str) -> None:
    training = local(write_learner(tmp_path, source_with(MISTAKES[mistake])))

    with pytest.raises(TrainerError, match=EXPECTED[mistake]) as caught:
        training.fit(1, MODEL_VALUES)

    assert "training round 1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shape_that_changes_between_training_rounds_fails_only_from_then_on(
    tmp_path: Path,
) -> None:
    source = source_with(MISTAKES["another shape"], from_training_round=2)
    training = local(write_learner(tmp_path, source))

    assert training.fit(1, MODEL_VALUES).samples == 40
    with pytest.raises(TrainerError, match=r"in fit of training round 2: expected shape \(3,\)"):
        training.fit(2, MODEL_VALUES)


def test_single_precision_and_integers_are_taken(tmp_path: Path) -> None:
    mistake = 'delta = {"slope": np.ones(3, np.float32), "offset": np.array([2])}'

    outcome = local(write_learner(tmp_path, source_with(mistake))).fit(1, MODEL_VALUES)

    assert outcome.delta.tolist() == [2**16] * 3 + [2**17]


def test_rows_that_a_learner_lacks_are_a_data_error_in_evaluate_and_fail_in_fit(
    tmp_path: Path,
) -> None:
    no_rows = "from fednode.learning.errors import DataError\n" + SOURCE.replace(
        "rows = self", "raise DataError('no such rows')\n        rows = self"
    )
    training = local(write_learner(tmp_path, no_rows))

    with pytest.raises(DataError, match="no such rows"):
        training.evaluate(MODEL_VALUES, "test")
    with pytest.raises(TrainerError, match="in fit of training round 4: no such rows"):
        training.fit(4, MODEL_VALUES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch_not_here.nn\n", "it needs torch_not_here, which is not installed here"),
        ("MyLearner = 3\n", "expected a class or function 'MyLearner' in .*, got int"),
        ("x = 3\n", "expected a class or function 'MyLearner' in .*, got nothing"),
        ("def MyLearner(a):\n    pass\n", "TypeError: MyLearner.. takes 1 positional argument"),
        ("def MyLearner(a, b, c):\n    pass\n", "NoneType without initial_parameters, fit, eval"),
        ("def MyLearner(\n", r"SyntaxError: '\(' was never closed"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(line 1 of"),
    ],
)
def test_file_that_gives_no_learner_is_one_sentence(
    tmp_path: Path, source: str, expected: str
) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        build_own(OWN, 3, {}, write_learner(tmp_path, source))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("module", "extra"), [("torch", "torch"), ("sklearn.svm", "sklearn")])
def test_missing_extra_is_named_with_the_command_that_installs_it(
    tmp_path: Path, module: str, extra: str
) -> None:
    source = f"raise ModuleNotFoundError('no', name={module!r})\n"

    with pytest.raises(SettingsError, match=rf"pip install 'fednode\[{extra}\]'"):
        build_own(OWN, 3, {}, write_learner(tmp_path, source))


def test_hash_is_that_of_the_bytes_and_another_file_is_not_run(tmp_path: Path) -> None:
    """Rule P1: a contract binds the code of its learner."""
    code = write_learner(tmp_path)
    signed = learner_hash(MODEL, code)
    write_learner(tmp_path, "raise AssertionError('this code must not run')\n")

    with pytest.raises(SettingsError, match=r"expected .* to be the learner of the contract, with"):
        build_own(OWN, 3, {}, OwnCode(file=code.file, sha256=signed.hex()))

    assert signed == sha256(SOURCE.encode()).digest()


def test_hash_of_a_file_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"expected the learner .*none\.py, got: No such file"):
        learner_hash("none.py:MyLearner", OwnCode(file=tmp_path / "none.py"))
    with pytest.raises(SettingsError, match=r"name it with --learner, or as node\.learner_file"):
        learner_hash(MODEL)


@pytest.mark.parametrize("text", ["my.py", "my.py:", "my.py:a b", ":MyLearner", "my.py:1"])
def test_text_that_names_no_learner_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"expected a learner as path\.py:MyLearner"):
        parse_learner(text)


def test_initial_parameters_come_from_a_process_of_their_own(tmp_path: Path) -> None:
    source = (
        SOURCE + "import os\nprint('talks')\nopen(__file__ + '.pid', 'w').write(str(os.getpid()))"
    )
    code = write_learner(tmp_path, source)

    tensors, values = initial_model(OWN, 3, 5, code)

    assert code.file is not None
    assert int(Path(f"{code.file}.pid").read_text(encoding="utf-8")) != os.getpid()
    expected = np.rint(np.random.default_rng(5).normal(0.0, 0.01, 3) * 2**16)
    assert [each.name for each in tensors] == ["slope", "offset"]
    assert values.tolist() == [*expected.tolist(), 0]


def test_initial_parameters_that_fail_are_one_sentence(tmp_path: Path) -> None:
    fails = SOURCE.replace('return {"slope"', 'raise KeyError("slope")\n        return {"slope"')
    large = SOURCE.replace("np.zeros(1)}", "np.full(1, 1e9)}")

    with pytest.raises(SettingsError, match=r"KeyError: 'slope' \(line 13 of"):
        initial_model(OWN, 3, 5, write_learner(tmp_path, fails))
    with pytest.raises(SettingsError, match=r"expected initial parameters .* within \+-256, got"):
        initial_model(OWN, 3, 5, write_learner(tmp_path, large))


def test_process_of_initial_parameters_that_dies_is_one_sentence(tmp_path: Path) -> None:
    code = write_learner(tmp_path, "import os\nos.write(2, b'gone\\n')\nos._exit(3)\n")

    with pytest.raises(SettingsError, match=r"the process of the learner my_learner.* ended: gone"):
        initial_model(OWN, 3, 5, code)


def test_two_learners_of_one_process_do_not_share_their_file(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = build_own(OWN, 3, {"training": separable()}, write_learner(tmp_path))
    build_own(OWN, 3, {}, write_learner(tmp_path / "other", SOURCE.replace("0.01", "9.0")))

    parameters = first.initial_parameters(np.random.default_rng(0))

    assert np.abs(parameters["slope"]).max() < 0.1


async def test_training_process_goes_on_after_a_mistake_and_runs_no_other_file(
    tmp_path: Path,
) -> None:
    """Rule P1, in the process that a node starts."""
    code = write_learner(tmp_path, source_with(MISTAKES["exception"], from_training_round=2))
    job = replace(
        build_job(tmp_path),
        settings=OWN,
        tensors=TENSORS,
        code=replace(code, sha256=learner_hash(MODEL, code).hex()),
    )
    save_job(tmp_path / "job.json", job)
    trainer = TrainerProcess(tmp_path / "job.json")
    await trainer.start()
    try:
        assert (await trainer.fit(1, MODEL_VALUES)).samples == 30
        process = trainer.process_id
        with pytest.raises(TrainerError, match=r"training round 2: ValueError: the rows are odd"):
            await trainer.fit(2, MODEL_VALUES)
        assert (await trainer.evaluate(MODEL_VALUES, "hold_out"))["samples"] == 10.0
        assert trainer.process_id == process
        write_learner(tmp_path, SOURCE)
        with pytest.raises(SettingsError, match="to be the learner of the contract, with SHA-256"):
            await trainer.start()
    finally:
        await trainer.close()
