"""Every rule by examples: one transcript per rule, each of them readable on its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.consensus.talk import Talk
from tests.fednode.talk import WireTalk
from tests.ledger.talk import LedgerTalk
from tests.support.transcripts import Interpreter, check_transcript, replayed
from tests.test_protocol_rules import IN_FORCE

TESTS = Path(__file__).parent
TALKS: Final[dict[str, Callable[[Path], Interpreter]]] = {
    "consensus": lambda _: Talk(),
    "ledger": LedgerTalk,
    "fednode": lambda _: WireTalk(),
}
FILES = sorted(path for each in TALKS for path in (TESTS / each / "transcripts").glob("*.txt"))
EACH = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")


@EACH
def test_it_goes_as_the_transcript_says(
    path: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    check_transcript(path, TALKS[path.parts[-3]](tmp_path), pytestconfig)


def test_every_rule_in_force_has_a_transcript() -> None:
    assert {path.stem for path in FILES} == set(IN_FORCE)


@EACH
def test_a_transcript_begins_with_the_rule_that_it_shows(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(f"# {path.stem}: ")


def test_an_engine_that_says_something_else_fails_its_transcript() -> None:
    text = (TESTS / "consensus" / "transcripts" / "P32.txt").read_text(encoding="utf-8")

    assert replayed(text.replace("view 1", "view 2"), Talk()) == text
