"""Member cards: signed sums, no rows, and no change goes unnoticed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fednode.config import DataSection
from fednode.errors import ConfigError
from fednode.founding.card_files import write_card
from fednode.founding.cards import MemberCard, load_card
from fednode.founding.members import card_name, create_member, make_card
from fednode.learning.errors import DataError
from tests.fednode.founding.support import BROKER, key_of, make_members, seed_of, write_rows


def test_card_reads_back_equal_and_believable(tmp_path: Path) -> None:
    (member,) = make_members(tmp_path, ("a",))

    card = load_card(member.card_path)

    assert card == member.card
    assert card.problem() is None


def test_card_holds_sums_over_the_training_rows(tmp_path: Path) -> None:
    card = make_card("a", write_rows(tmp_path / "rows.csv", rows=4), key_of("a"))

    assert card.samples == 4
    assert card.statistics is not None
    age = card.statistics.numeric[0]
    assert (age.name, age.count, age.total, age.squares) == ("age", 4, 6.0, 14.0)


def test_card_of_a_validator_without_data_has_no_statistics() -> None:
    card = make_card("board", None, key_of("board"))

    assert card.roles == ("validator",)
    assert (card.samples, card.statistics, card.problem()) == (0, None, None)


def test_trainer_that_does_not_vote_is_no_validator(tmp_path: Path) -> None:
    card = make_card("a", write_rows(tmp_path / "r.csv"), key_of("a"), is_validator=False)

    assert card.roles == ("trainer",)
    assert card.role_bits == 1


def test_member_without_any_role_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a role for 'a', got none"):
        make_card("a", None, key_of("a"), is_validator=False)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "name": lambda card: card.update(name="b"),
    "samples": lambda card: card.update(samples=13),
    "roles": lambda card: card.update(roles=["trainer"]),
    "rule": lambda card: card.update(positive="> 1"),
    "sum": lambda card: card["statistics"]["numeric"][0].update(total=67.0),
    "signature": lambda card: card.update(signature="0" * 128),
    "key": lambda card: card.update(public_key=key_of("b").public_key.hex()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_card_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    (member,) = make_members(tmp_path, ("a",))
    card = json.loads(member.card_path.read_text(encoding="utf-8"))
    change(card)
    member.card_path.write_text(json.dumps(card), encoding="utf-8")

    with pytest.raises(ConfigError, match="but its signature is not that of its key"):
        load_card(member.card_path)


IMPOSSIBLE: dict[str, Callable[[dict[str, Any]], object]] = {
    "more values than rows": lambda s: s["numeric"][0].update(count=13),
    "not finite": lambda s: s["numeric"][0].update(total=float("nan")),
    "negative squares": lambda s: s["numeric"][0].update(squares=-1.0),
    "other rows": lambda s: s.update(rows=11),
    "category without rows": lambda s: s.update(
        categorical=[{"name": "x", "occurrences": [["1", 0]]}]
    ),
    "too many categories": lambda s: s.update(
        categorical=[{"name": "x", "occurrences": [["1", 7], ["2", 6]]}]
    ),
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_signed_card_with_impossible_statistics_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    (member,) = make_members(tmp_path, ("a",))
    content = json.loads(member.card_path.read_text(encoding="utf-8"))
    change(content["statistics"])
    card = MemberCard.model_validate_json(json.dumps(content)).signed(key_of("a"))
    write_card(tmp_path / "lie.card", card)

    problem = card.problem()

    assert problem is not None
    assert "statistics cannot be those of 12 rows" in problem


def test_card_with_samples_but_no_statistics_is_refused() -> None:
    card = make_card("a", None, key_of("a")).model_copy(update={"samples": 3})

    assert "3 samples" in (card.signed(key_of("a")).problem() or "")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"format": "other"}'])
def test_file_that_is_no_card_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.card").write_bytes(content)

    with pytest.raises(ConfigError, match="expected a member card, got a wrong"):
        load_card(tmp_path / "x.card")


def test_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'fednode init' makes one"):
        load_card(tmp_path / "x.card")


def test_card_names_are_file_names() -> None:
    assert card_name("North / East") == "north-east.card"
    assert card_name("大学") == "member.card"


def test_member_is_not_made_twice(tmp_path: Path) -> None:
    make_members(tmp_path, ("a",))

    with pytest.raises(ConfigError, match=r"expected no node\.toml"):
        make_members(tmp_path, ("a",))


def test_nothing_is_made_when_the_rows_cannot_be_read(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "r.csv").model_copy(update={"label": "ill"})

    with pytest.raises(DataError, match="no column 'ill'"):
        create_member(tmp_path / "a", name="a", broker=BROKER, data=data, seed=seed_of("a"))
    assert not (tmp_path / "a").exists()


def test_rows_of_one_class_make_a_card_only_when_the_member_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,sick\n1,1\n2,1\n", encoding="utf-8")
    data = DataSection(source=str(tmp_path / "rows.csv"), label="sick")

    with pytest.raises(DataError, match="got 0 negative and 2 positive ones"):
        make_card("a", data, key_of("a"))
    card = make_card("a", data.model_copy(update={"allow_one_class": True}), key_of("a"))

    assert card.samples == 2
