"""Contracts from cards: what adds up, what follows from the number of members, what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from fednode.errors import ConfigError
from fednode.founding.contracts import (
    ContractOptions,
    make_contract,
    timeouts_of,
)
from fednode.founding.initial_model import initial_model_body, settings_of
from fednode.founding.members import make_card
from fednode.founding.terms import ADVICE, contract_terms, differences, tolerance_lines
from fednode.learning.errors import DataError, SettingsError
from ledger.bodies import body_id
from ledger.errors import ContractError
from ledger.genesis_rules import check_contract
from tests.fednode.founding.support import found, key_of, make_members, write_rows

OPTIONS = ContractOptions(name="test")
NO_FILE = Path("no file")


def test_common_means_are_those_of_all_rows_together(tmp_path: Path) -> None:
    contract = found(tmp_path, ("a", "b")).contract

    age = contract.data.features[0]

    ages = [row + offset for offset in (0.0, 1.0) for row in range(12)]
    mean = sum(ages) / 24
    assert age.name == "age"
    assert float(age.mean) == pytest.approx(mean)
    assert float(age.scale) == pytest.approx((sum((x - mean) ** 2 for x in ages) / 24) ** 0.5)


def test_members_are_numbered_as_their_cards_are_given(tmp_path: Path) -> None:
    cards = [member.card for member in make_members(tmp_path, ("a", "b"))]

    contract = make_contract(cards[::-1], OPTIONS)

    assert [member.name for member in contract.members] == ["b", "a"]
    assert [member.samples for member in contract.members] == [12, 12]


@pytest.mark.parametrize(
    ("members", "budget", "liars", "needed"),
    [(1, 0, 0, 1), (3, 0, 0, 2), (4, 1, 1, 3), (7, 2, 2, 4), (10, 3, 3, 6)],
)
def test_budgets_follow_from_the_number_of_members(
    tmp_path: Path, members: int, budget: int, liars: int, needed: int
) -> None:
    contract = found(tmp_path, tuple(f"m{number}" for number in range(members))).contract

    assert contract.byzantine_budget == budget
    assert contract.trainer_budget == liars
    assert contract.min_updates == needed
    assert contract.aggregation.parameters[0].value == liars


def test_initial_model_is_made_again_from_the_contract(tmp_path: Path) -> None:
    contract = found(tmp_path, options=ContractOptions(name="t", model="mlp", seed=7)).contract

    assert body_id(initial_model_body(contract, NO_FILE)) == contract.model.initial_model_id


def test_another_initial_model_is_refused(tmp_path: Path) -> None:
    contract = found(tmp_path, options=ContractOptions(name="t", model="mlp")).contract
    other = replace(contract, model=replace(contract.model, initial_seed=8))

    with pytest.raises(ConfigError, match=r"expected the initial model .* install the version"):
        initial_model_body(other, NO_FILE)


def test_settings_of_a_contract_are_those_of_its_options(tmp_path: Path) -> None:
    options = ContractOptions(
        name="t", learning_rate=1e-5, worker_momentum=0.9, batch_size=4, optimizer="sgd,prox=0.1"
    )

    contract = found(tmp_path, options=options).contract

    assert settings_of(contract) == options.settings


def test_different_labels_are_refused(tmp_path: Path) -> None:
    first = make_card("a", write_rows(tmp_path / "a.csv"), key_of("a"))
    data = write_rows(tmp_path / "b.csv").model_copy(update={"positive": "> 0"})
    second = make_card("b", data, key_of("b"))

    with pytest.raises(ConfigError, match="one positive at all members, got '' of 'a' and '> 0'"):
        make_contract([first, second], OPTIONS)


def test_different_columns_are_refused(tmp_path: Path) -> None:
    first = make_card("a", write_rows(tmp_path / "a.csv"), key_of("a"))
    data = write_rows(tmp_path / "b.csv").model_copy(update={"drop_columns": ("dose",)})
    second = make_card("b", data, key_of("b"))

    with pytest.raises(DataError, match="all sites need the same"):
        make_contract([first, second], OPTIONS)


def test_network_without_any_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one member card with data"):
        make_contract([make_card("a", None, key_of("a"))], OPTIONS)


def test_one_member_twice_is_refused(tmp_path: Path) -> None:
    card = make_members(tmp_path, ("a",))[0].card

    with pytest.raises(ContractError, match="expected distinct ones"):
        make_contract([card, card], OPTIONS)


def test_unknown_rule_is_refused(tmp_path: Path) -> None:
    cards = [member.card for member in make_members(tmp_path, ("a", "b"))]

    with pytest.raises(ContractError, match=r"expected a rule of .*, got 'best'"):
        make_contract(cards, replace(OPTIONS, rule="best"))


def test_unknown_model_and_impossible_budget_are_refused(tmp_path: Path) -> None:
    cards = [member.card for member in make_members(tmp_path, ("a", "b"))]

    with pytest.raises(SettingsError, match="no model 'forest'"):
        make_contract(cards, replace(OPTIONS, model="forest"))
    with pytest.raises(ContractError, match="byzantine_budget: expected at most 0"):
        make_contract(cards, replace(OPTIONS, byzantine_budget=1))


@pytest.mark.parametrize(("collect_s", "view_s"), [(60.0, 10.0), (0.2, 0.1), (0.001, 0.001)])
def test_waits_from_two_numbers_make_a_contract_that_holds(
    tmp_path: Path, collect_s: float, view_s: float
) -> None:
    options = replace(OPTIONS, timeouts=timeouts_of(collect_s, view_s))

    check_contract(found(tmp_path, options=options).contract)


def test_difference_is_named_by_its_term(tmp_path: Path) -> None:
    contract = found(tmp_path).contract
    other = replace(contract, training=replace(contract.training, learning_rate="0.2"))

    found_differences = differences(contract_terms(contract), contract_terms(other))

    assert [(each.name, each.left, each.right) for each in found_differences] == [
        ("training.learning_rate", "0.1", "0.2")
    ]


def test_terms_name_every_byte_of_the_contract(tmp_path: Path) -> None:
    contract = found(tmp_path).contract

    terms = contract_terms(contract)

    assert terms["members.2.name"] == "c"
    assert terms["model.initial_model_id"] == contract.model.initial_model_id.hex()
    assert terms["model.tensors.0.shape.0"] == 2


def test_missing_terms_on_either_side_are_differences() -> None:
    found_differences = differences({"a": 1, "b": 2}, {"b": 2, "c": 3})

    assert [(each.name, each.left, each.right) for each in found_differences] == [
        ("a", 1, None),
        ("c", None, 3),
    ]


def test_tolerance_is_said_in_words_and_three_hospitals_get_advice(tmp_path: Path) -> None:
    three = tolerance_lines(found(tmp_path / "3", ("a", "b", "c")).contract)
    seven = tolerance_lines(found(tmp_path / "7", tuple("abcdefg")).contract)

    assert three[0].startswith("No validator may be silent")
    assert three[-1] == ADVICE
    assert seven[0].startswith("2 validators may be silent")
    assert seven[1].startswith("2 trainers may be silent")
    assert seven[2].startswith("2 trainers may lie")
    assert ADVICE not in seven
