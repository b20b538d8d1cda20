"""Rows held out: on the card, in the contract, and at the start of a node (rules P1, P16)."""

from pathlib import Path

import pytest

from fednode.config import DataSection, NodeConfig, NodeSection
from fednode.errors import ConfigError
from fednode.founding.cards import MemberCard
from fednode.founding.contracts import ContractOptions, make_contract
from fednode.founding.members import make_card
from fednode.founding.membership import local_differences
from fednode.founding.terms import feedback_text, role_names
from ledger.errors import ContractError
from ledger.genesis import NO_FEEDBACK, Better, Contract, Role
from tests.fednode.founding.support import BROKER, key_of, write_rows

OPTIONS = ContractOptions(name="test")


def rows(folder: Path, name: str, share: float) -> DataSection:
    section = write_rows(folder / f"{name}.csv", offset=float(ord(name)), rows=20)
    return section.model_copy(update={"hold_out_fraction": share})


def card(folder: Path, name: str, share: float, *, is_validator: bool = True) -> MemberCard:
    return make_card(name, rows(folder, name, share), key_of(name), is_validator=is_validator)


def contract(folder: Path, *shares: float, options: ContractOptions = OPTIONS) -> Contract:
    return make_contract(
        [card(folder, name, share) for name, share in zip("abcd", shares, strict=True)], options
    )


def test_a_member_that_holds_rows_out_says_so_and_counts_the_others(tmp_path: Path) -> None:
    made = card(tmp_path, "a", 0.2)

    assert made.roles == ("trainer", "validator", "hold_out")
    assert (made.hold_out, made.samples) == (200_000, 16)
    assert made.problem() is None


def test_a_card_whose_role_and_share_differ_is_not_believed(tmp_path: Path) -> None:
    made = card(tmp_path, "a", 0.2)

    lying = made.model_copy(update={"hold_out": 0}).signed(key_of("a"))

    assert "holds 0 millionths of its rows out" in str(lying.problem())


def test_the_contract_has_share_metric_patience_and_tolerance(tmp_path: Path) -> None:
    made = contract(tmp_path, 0.2, 0.2, 0.2, 0.0)

    terms = made.feedback
    assert (terms.metric, terms.better, terms.hold_out) == ("loss", Better.LOWER, 200_000)
    assert (terms.patience, terms.tolerance) == (3, 50_000)
    assert [each.has_hold_out for each in made.members] == [True, True, True, False]
    assert feedback_text(made) == (
        "loss (lower is better) on 20 % of the rows; back to the best model after 3 that are "
        "worse by more than 0.05"
    )


def test_a_metric_without_a_minus_is_one_of_which_more_is_better(tmp_path: Path) -> None:
    options = ContractOptions(name="test", metric="auc", patience=5, tolerance=0.0)

    terms = contract(tmp_path, 0.2, 0.2, 0.2, 0.2, options=options).feedback

    assert (terms.metric, terms.better, terms.patience) == ("auc", Better.HIGHER, 5)


def test_without_rows_held_out_there_is_no_feedback(tmp_path: Path) -> None:
    made = contract(tmp_path, 0.0, 0.0, 0.0, 0.0)

    assert made.feedback == NO_FEEDBACK
    assert feedback_text(made) == "none: nobody holds rows out, the last model counts"


def test_members_that_hold_out_different_shares_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one share of rows held out .* 200000 .* and 250000"):
        contract(tmp_path, 0.2, 0.25, 0.2, 0.2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (ContractOptions(name="test", tolerance=-1.0), "a tolerance of 0 or more"),
        (ContractOptions(name="test", tolerance=float("nan")), "a tolerance of 0 or more"),
        (ContractOptions(name="test", patience=17), "expected 1 to 16 models, got 17"),
        (ContractOptions(name="test", metric="-"), "feedback.metric: expected a name"),
    ],
)
def test_terms_of_feedback_that_cannot_hold_are_refused(
    tmp_path: Path, options: ContractOptions, reason: str
) -> None:
    with pytest.raises((ConfigError, ContractError), match=reason):
        contract(tmp_path, 0.2, 0.2, 0.2, 0.2, options=options)


def test_a_trainer_that_does_not_vote_holds_nothing_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected 'a' to vote, because it holds rows out"):
        card(tmp_path, "a", 0.2, is_validator=False)


def test_a_node_that_holds_out_another_share_does_not_start(tmp_path: Path) -> None:
    made = contract(tmp_path, 0.2, 0.2, 0.2, 0.2)
    config = NodeConfig(node=NodeSection(name="a"), broker=BROKER, data=rows(tmp_path, "a", 0.2))

    assert local_differences(config, 0, made) == ()
    other = config.model_copy(update={"data": rows(tmp_path, "a", 0.21)})
    found = local_differences(other, 0, made)

    assert [(each.name, each.left, each.right) for each in found] == [
        ("feedback.hold_out", 210_000, 200_000)
    ]


def test_the_role_has_a_name_for_people() -> None:
    assert role_names(int(Role.TRAINER | Role.VALIDATOR | Role.HOLD_OUT)) == (
        "trainer, validator, hold-out"
    )
