"""`fednode new` writes what the guides show, and a script that can be run."""

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fednode.cli import app
from fednode.cli.failures import ExitCode
from fednode.errors import ConfigError
from fednode.learner_project import LEARNERS, RUN
from tests.fednode.cli.support import invoke
from tests.test_docs import wrong_fednode_command
from tests.test_learner_guides import blocks

GUIDES = {"numpy": "README.md", "torch": "pytorch.md", "sklearn": "scikit-learn.md"}


@pytest.mark.parametrize("library", LEARNERS)
def test_project_holds_the_learner_of_the_guide_and_a_script(tmp_path: Path, library: str) -> None:
    told = invoke("new", tmp_path / "project", f"--{library}").output

    files = {path.name: path for path in (tmp_path / "project").iterdir()}
    assert set(files) == {"my_learner.py", "run", "README.md"}
    assert all(str(path) in "".join(told.splitlines()) for path in files.values())
    assert files["my_learner.py"].read_text(encoding="utf-8") == blocks(GUIDES[library])[0]
    assert os.access(files["run"], os.X_OK)


def test_script_gives_options_that_there_are() -> None:
    command = re.sub(r"\\\n", " ", RUN).partition("exec ")[2].replace(' "$@"', "")

    assert wrong_fednode_command(command) is None


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    invoke("new", tmp_path, "--numpy")
    (tmp_path / "my_learner.py").write_text("mine", encoding="utf-8")

    with pytest.raises(ConfigError):
        invoke("new", tmp_path, "--torch")

    assert (tmp_path / "my_learner.py").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("options", [(), ("--numpy", "--torch")])
def test_one_library_must_be_chosen(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["new", str(tmp_path / "project"), *options])

    assert done.exit_code == ExitCode.WRONG_INPUT
    assert not (tmp_path / "project").exists()
