"""The table of branches that rules need is about the sources as they are."""

from pathlib import Path

import pytest

from tests.knockouts import KNOCKOUTS, Knockout, transcript_of
from tests.test_protocol_rules import IN_FORCE, cited_by_tests
from tests.test_transcripts import TALKS

ROOT = Path(__file__).resolve().parent.parent
EACH = pytest.mark.parametrize("knockout", KNOCKOUTS, ids=lambda knockout: knockout.rule)


def test_every_rule_in_force_has_a_branch_that_it_needs() -> None:
    assert {each.rule for each in KNOCKOUTS} == set(IN_FORCE)


def test_every_rule_has_a_branch_that_its_transcript_shows() -> None:
    shown = {each.rule for each in KNOCKOUTS if each.tests == transcript_of(each.rule)}

    assert shown == set(IN_FORCE)


@EACH
def test_the_branch_is_found_once(knockout: Knockout) -> None:
    source = (ROOT / knockout.file).read_text(encoding="utf-8")

    assert source.count(knockout.old) == 1, f"tests/knockouts.py: {knockout.rule} has moved"


@EACH
def test_the_tests_that_must_fail_cite_the_rule(knockout: Knockout) -> None:
    files = [word for word in knockout.tests.split() if word.endswith(".py")]
    transcripts = [f"tests/{each}/transcripts/{knockout.rule}.txt" for each in TALKS]

    citing = set(cited_by_tests()[knockout.rule])
    assert citing & {*files, *transcripts}
