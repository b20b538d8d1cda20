"""The engine by examples: one transcript per rule, each of them readable on its own."""

import re
from pathlib import Path

import pytest

from tests.consensus.talk import Talk
from tests.support.transcripts import check_transcript, replayed

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_engine_does_what_the_transcript_says(path: Path, pytestconfig: pytest.Config) -> None:
    check_transcript(path, Talk(), pytestconfig)


def test_every_rule_of_voting_has_a_transcript() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = text.partition("## 4 Voting")[2].partition("\n## ")[0]
    numbers = set(re.findall(r"^- \*\*(P\d+)", section, flags=re.MULTILINE))

    # P37 bounds memory, which no single line shows: tests/consensus/test_bounds.py.
    assert numbers - {path.stem for path in FILES} == {"P37"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_transcript_begins_with_the_rule_that_it_shows(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(f"# {path.stem}: ")


def test_an_engine_that_says_something_else_fails_its_transcript() -> None:
    text = (Path(__file__).parent / "transcripts" / "P32.txt").read_text(encoding="utf-8")

    assert replayed(text.replace("view 1", "view 2"), Talk()) == text
