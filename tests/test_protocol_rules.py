"""docs/protocol.md, code and tests speak of the same numbered rules."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
PACKAGES = ("ledger", "consensus", "fednode")
NOT_IN_RELEASE = ("P70",)
PARTLY_IN_RELEASE = ("P81", "P92")

_RULE = re.compile(r"\bP\d{1,2}a?\b")
_DEFINITION = re.compile(
    r"^- \*\*(P\d{1,2}a?)\b(.*?)(?=^- \*\*P|^#|^\||\Z)", re.MULTILINE | re.DOTALL
)


def definitions(text: str) -> list[tuple[str, str]]:
    """(number, text on one line) of each rule, in the order of the document."""
    return [(number, " ".join(body.split())) for number, body in _DEFINITION.findall(text)]


def place(number: str) -> tuple[int, str]:
    """Where a rule stands: P2 before P10, P12 before P12a."""
    found = re.fullmatch(r"P(\d+)(a?)", number)
    assert found is not None
    return int(found[1]), found[2]


def citations(paths: Iterable[Path]) -> dict[str, list[str]]:
    """The files that cite each rule."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        for number in set(_RULE.findall(path.read_text(encoding="utf-8"))):
            found.setdefault(number, []).append(path.relative_to(ROOT).as_posix())
    return found


@cache
def cited_by_code() -> dict[str, list[str]]:
    return citations(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def cited_by_tests() -> dict[str, list[str]]:
    paths = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests").rglob("*.txt")]
    return citations(path for path in paths if path != Path(__file__).resolve())


RULES = definitions(PROTOCOL)
IN_FORCE = [number for number, _ in RULES if number not in NOT_IN_RELEASE]


def test_rules_are_defined_once_and_in_order() -> None:
    numbers = [number for number, _ in RULES]

    assert numbers == sorted(set(numbers), key=place)
    assert len(numbers) == 52


def test_what_is_not_in_this_release_is_said_at_its_rule_and_listed_here() -> None:
    missing = [number for number, text in RULES if "*Not in this release.*" in text]
    partly = [number for number, text in RULES if "*Not in this release:*" in text]

    assert missing == [*NOT_IN_RELEASE]
    assert partly == [*PARTLY_IN_RELEASE]


@pytest.mark.parametrize("number", IN_FORCE)
def test_each_rule_in_force_is_cited_by_code(number: str) -> None:
    assert cited_by_code().get(number), f"no code cites rule {number} of docs/protocol.md"


@pytest.mark.parametrize("number", IN_FORCE)
def test_each_rule_in_force_is_cited_by_a_test(number: str) -> None:
    assert cited_by_tests().get(number), f"no test cites rule {number} of docs/protocol.md"


def test_whatever_is_cited_is_defined() -> None:
    defined = {number for number, _ in RULES}
    cited = {**cited_by_tests(), **cited_by_code()}

    unknown = {number: files for number, files in cited.items() if number not in defined}
    assert unknown == {}


def test_files_that_rules_name_exist() -> None:
    named = re.findall(r"`((?:ledger|consensus|fednode|tests|scripts)/[\w/.]*)`", PROTOCOL)

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_domain_tags_are_those_of_the_code() -> None:
    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    uses = r'^(?!\s*>>>).*?(?:domain_tag\(|TAG: ClassVar\[str\] = )"([a-z]+/\d+)"'
    in_code = {tag for text in sources for tag in re.findall(uses, text, flags=re.MULTILINE)}

    in_document = re.findall(r"\| `([a-z]+/\d+)` \|", PROTOCOL.replace("| `", "|| `"))
    assert sorted(in_document) == sorted(in_code)


def test_messages_are_those_of_the_code() -> None:
    source = (ROOT / "consensus" / "messages.py").read_text(encoding="utf-8")
    kinds = re.findall(r"^    ([A-Z_]+) = \d+$", source, flags=re.MULTILINE)
    section = PROTOCOL.partition("## 2 Messages")[2].partition("\n## ")[0]

    rows = re.findall(r"^\| ([A-Z_, ]+) \|", section, flags=re.MULTILINE)
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(kinds)
