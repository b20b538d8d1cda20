"""The documents keep their promises: commands exist, links lead somewhere, ADRs are indexed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fednode import cli
from fednode.cli.failures import ExitCode

ROOT = Path(__file__).resolve().parent.parent
DECISIONS = ROOT / "docs" / "adr"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
SESSION_TIMEOUT_S = 180
FAST = (
    (README, "fednode --version"),
    (ROOT / "CONTRIBUTING.md", "python scripts/simulate.py --seed 7"),
    (ROOT / "CONTRIBUTING.md", "scripts/check --help"),
)
"""Commands of the documents that are quick enough to be run with the unit tests."""
DECISION_SECTIONS = ("## Context", "## Options", "## Decision", "## Consequences")


def commands_of(text: str) -> list[str]:
    """The `$` lines of all console blocks, continuation lines joined, comments dropped."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line[2:].partition(" #")[0].strip() for line in lines if line.startswith("$ ")]


def wrong_script(command: str) -> str | None:
    """Why the script that the command starts cannot be started, or nothing."""
    words = command.split()
    script = ROOT / (words[1] if words[0] == "python" else words[0])
    if not script.is_file():
        return f"{command!r}: there is no {script.relative_to(ROOT)}"
    if words[0] != "python" and not os.access(script, os.X_OK):
        return f"{command!r}: {script.relative_to(ROOT)} is not executable"
    return None


def wrong_fednode_command(command: str) -> str | None:
    """Why `fednode` does not know the command or one of its options, or nothing."""
    arguments = command.split()[1:]
    first_option = next((i for i, word in enumerate(arguments) if word[0] == "-"), len(arguments))
    result = CliRunner().invoke(
        cli.app, [*arguments[:first_option], "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"}
    )
    if result.exit_code != 0:
        return f"{command!r}: exit code {result.exit_code}: {result.output.strip()}"
    known = set(re.findall(r"--[a-z][a-z-]*", result.output))
    used = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", command))
    return f"{command!r}: unknown {sorted(used - known)}" if used - known else None


def wrong_commands(text: str) -> list[str]:
    commands = commands_of(text)
    scripts = ("scripts/", "python scripts/")
    found = [wrong_script(line) for line in commands if line.startswith(scripts)]
    found += [wrong_fednode_command(line) for line in commands if line.split()[0] == "fednode"]
    return [problem for problem in found if problem is not None]


def broken_links(document: Path, text: str) -> list[str]:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [
        f"{document.name}: {target}"
        for target in targets
        if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists()
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_show_only_commands_that_exist(document: Path) -> None:
    assert wrong_commands(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    assert broken_links(document, document.read_text(encoding="utf-8")) == []


def section(document: Path, title: str) -> str:
    """One section of second level of a document."""
    text = document.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def play(commands: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run shell commands in a folder, as somebody with this environment in PATH does."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    return subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=cwd,
        env={"PATH": path, "HOME": str(cwd), "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=SESSION_TIMEOUT_S,
        check=False,
    )


def test_readme_tells_how_to_test() -> None:
    assert "scripts/test" in commands_of(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("document", "command"), FAST, ids=[command for _, command in FAST])
def test_fast_commands_do_what_they_are_shown_for(document: Path, command: str) -> None:
    assert command in commands_of(document.read_text(encoding="utf-8"))

    done = play([command], ROOT)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_the_session_of_the_readme_can_be_played(tmp_path: Path) -> None:
    commands = commands_of(section(README, "Look at what happened"))
    assert commands[0] == "fednode demo --dir run"

    done = play(commands, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("every check holds") == 3  # of the demo, and of two commands
    shown = section(README, "Try it").partition("\nWhat happened\n")[2].partition("\nAccuracy")[0]
    assert shown.strip() in done.stdout


def test_events_are_those_of_the_code() -> None:
    sources = {path: path.read_text() for path in (ROOT / "fednode").rglob("*.py")}
    methods = re.findall(
        r"    def (\w+)\(.*?(?=\n    def |\Z)", sources[ROOT / "fednode" / "journal.py"], re.DOTALL
    )
    bodies = re.split(r"\n    def \w+\(", sources[ROOT / "fednode" / "journal.py"])[1:]
    called = {name for name in methods if any(f".{name}(" in text for text in sources.values())}
    emitted = {
        kind
        for name, body in zip(methods, bodies, strict=True)
        if name in called
        for kind in re.findall(r'_emit\(\s*"(\w+)"', body)
    }

    documented = re.findall(r"^\| `(\w+)` \|", section(OPERATIONS, "Events"), re.MULTILINE)
    assert sorted(documented) == sorted(emitted)


def test_exit_codes_are_those_of_the_code() -> None:
    documented = re.findall(r"^\| (\d+) \|", section(OPERATIONS, "Exit codes"), re.MULTILINE)

    assert [int(each) for each in documented] == [int(code) for code in ExitCode]


def test_documents_name_no_folder_of_a_machine() -> None:
    found = {
        document.name: hits
        for document in DOCUMENTS
        if (hits := re.findall(r"/(?:work|home|root|tmp)/", document.read_text(encoding="utf-8")))
    }

    assert found == {}


def test_decisions_are_numbered_once_and_indexed_in_order() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    names = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))

    numbers = [int(name[:4]) for name in names]
    assert numbers == sorted(set(numbers))
    assert re.findall(r"\]\((\d{4}-[^)]+\.md)\)", index) == names


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_decision_weighs_options_and_names_what_it_costs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [*DECISION_SECTIONS]
    assert re.search(r"^- Bad: ", text, flags=re.MULTILINE)


def test_checks_find_a_command_that_does_not_exist() -> None:
    console = "```console\n$ {}\n```\n"

    assert wrong_commands(console.format("scripts/test -q  # all of them")) == []
    assert wrong_commands(console.format("fednode --version")) == []
    assert wrong_commands(console.format("scripts/nonsense"))
    assert wrong_commands(console.format("python scripts/nonsense.py"))
    assert wrong_commands(console.format("scripts/_setup"))
    assert wrong_commands(console.format("fednode nonsense"))
    assert wrong_commands(console.format("fednode --nonsense"))


def test_checks_find_a_broken_link() -> None:
    readme = ROOT / "README.md"

    assert broken_links(readme, "[a](LICENSE) [b](https://a.example/b) [c](LICENSE#x)") == []
    assert broken_links(readme, "[a](docs/nonsense.md)") == ["README.md: docs/nonsense.md"]
