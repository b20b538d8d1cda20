"""The card of a model says what the ledger says, and nothing about models of other ledgers."""

from dataclasses import replace
from pathlib import Path

import pytest

from fednode.cli.model_card import card_sections, markdown, model_card
from fednode.errors import ConfigError
from ledger.genesis import Continues
from ledger.model_file import ModelFile, decode_model_file
from ledger.store import Ledger
from tests.fednode.cli.support import TRAINING_ROUNDS, Made, invoke, json_of
from tests.support.members import admit, carry, change, go_on, grown, leave, rotate_key


@pytest.fixture
def model(made: Made, tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    invoke("model", "export", made.member(0), "--out", path)
    return path


@pytest.fixture
def file(made: Made, tmp_path: Path) -> Path:
    invoke("ledger", "export", made.member(0), "--out", tmp_path / "x.fed")
    return tmp_path / "x.fed"


def test_a_card_tells_contributors_signers_and_terms(made: Made, model: Path, file: Path) -> None:
    card = json_of("model", "card", model, "--ledger", file, "--genesis", made.genesis_file)
    block = json_of("ledger", "show", made.member(0), TRAINING_ROUNDS)

    assert (card["model_id"], card["height"]) == (block["model_id"], TRAINING_ROUNDS)
    assert card["decided"]["block_id"] == block["block_id"]
    assert [each["name"] for each in card["decided"]["signers"]] == block["certificate"]["signers"]
    last = card["training_rounds"][-1]
    assert [(each["number"], each["weight"]) for each in last["contributors"]] == [
        (each["member"], each["weight"]) for each in block["contributions"]
    ]
    assert [each["training_round"] for each in card["training_rounds"]] == [1, 2, 3]
    contract = made.genesis.contract
    assert card["terms"]["rule"] == contract.aggregation.rule_id
    assert card["terms"]["learning rate"] == contract.training.learning_rate
    assert card["terms"]["learner"] == contract.training.learner_hash.hex()
    assert card == json_of("model", "card", model, "--ledger", made.member(0))


def test_a_card_ends_with_the_block_that_made_the_model(made: Made, tmp_path: Path) -> None:
    second = tmp_path / "2"
    invoke("model", "export", made.member(0), "--out", second, "--height", 2)

    card = json_of("model", "card", second, "--ledger", made.member(0))

    assert (card["height"], card["training_round"], card["ledger_height"]) == (2, 2, 3)
    assert [each["height"] for each in card["training_rounds"]] == [1, 2]


def test_the_initial_model_has_no_contributors(made: Made, tmp_path: Path) -> None:
    first = tmp_path / "0"
    invoke("model", "export", made.member(0), "--out", first, "--height", 0)

    card = json_of("model", "card", first, "--ledger", made.member(0))
    text = invoke("model", "card", first, "--ledger", made.member(0)).output

    assert (card["training_rounds"], card["decided"]) == ([], {})
    assert "by the founders: the initial model, not trained" in text


def test_a_card_for_people_names_shares_and_outliers(made: Made, model: Path) -> None:
    text = invoke("model", "card", model, "--ledger", made.member(0)).output
    marked = invoke("model", "card", model, "--ledger", made.member(0), "--markdown").output

    for shown in (text, marked):
        assert "as certified by these members, not recomputed here" in shown
        assert "hospital-0" in shown
        assert " %" in shown
        assert "Terms of the contract" in shown
    assert marked.startswith("# Model ")
    assert "| training round | height | time |" in marked
    assert "## What this card cannot know" in marked


def test_names_cannot_break_the_tables_of_a_card(made: Made, model: Path) -> None:
    contract = made.genesis.contract
    evil = replace(contract.members[0], name="a|b\n# c <img> [x](y)")
    other = replace(contract, members=(evil, *contract.members[1:]))
    with Ledger.open(made.member(0), read_only=True) as ledger:
        blocks = tuple(ledger.blocks(1, ledger.head))
        certificate = ledger.certificate_at(ledger.head)

    text = markdown(model_card(other, blocks, certificate, decode_model_file(model.read_bytes())))

    assert "a\\|b?# c \\<img\\> \\[x\\](y)" in text
    assert "\n# c" not in text
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {3, 6, 7}


def test_a_model_of_another_ledger_has_no_card_here(
    made: Made, model: Path, tmp_path: Path
) -> None:
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    (tmp_path / "changed").write_bytes(data)
    (tmp_path / "no model").write_bytes(b"x")
    invoke("ledger", "export", made.member(0), "--through", 2, "--out", tmp_path / "short")

    for name, ledger in (
        ("changed", made.member(0)),
        ("no model", made.member(0)),
        (model.name, tmp_path / "short"),
    ):
        with pytest.raises(ConfigError, match="expected a model that this ledger names"):
            invoke(
                "model", "card", tmp_path / name, "--ledger", ledger,
                "--genesis", made.genesis_file,
            )  # fmt: skip


def test_a_ledger_that_does_not_hold_gives_no_card(made: Made, model: Path, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    with pytest.raises(ConfigError, match="expected a ledger that holds"):
        invoke("model", "card", model, "--ledger", file, "--genesis", made.genesis_file)


def test_a_card_follows_members_keys_and_terms() -> None:
    """Rule P81: who contributed is shown also when it is gone, and terms as they were then."""
    chain = grown()
    newcomer = admit(chain, "new")
    rotate_key(chain, 1, "rotated")
    go_on(chain, 1)
    height = chain.state.height
    rule = replace(chain.contract.aggregation, rule_id="nnm-geometric-median")
    carry(chain, leave(chain, 0))
    carry(chain, change(chain, lambda terms: replace(terms, aggregation=rule, trainer_budget=0)))
    model = ModelFile(tensors=(), values=b"", metadata=(("height", str(height)),))

    card = model_card(chain.contract, chain.blocks, chain.certificate, model)
    (members,) = [each for each in card_sections(card) if each.title.startswith("Members")]

    assert members.title == f"Members at height {len(chain.blocks)} of the ledger"
    rows = {row[0]: row[1:] for row in members.rows}
    assert rows["hospital-0"][0] == "gone"
    assert rows["hospital-0"][3] == f"{card['training_round']} of {card['training_round']}"
    assert rows["new"][0] == "active"
    key = chain.state.membership.public_keys[1].hex()
    assert rows["hospital-1"][1] == key[:16]
    assert card["terms"]["rule"] == "mean"  # type: ignore[index,call-overload]  # a dictionary
    assert newcomer == 4


def test_a_card_tells_from_which_chain_its_network_started(made: Made, model: Path) -> None:
    """Rule P1."""
    named = Continues(
        chain_id=b"c" * 32, height=7, block_id=b"b" * 32,
        model_id=made.genesis.contract.model.initial_model_id,
    )  # fmt: skip
    contract = replace(made.genesis.contract, continues=(named,))
    first = replace(decode_model_file(model.read_bytes()), metadata=(("height", "0"),))

    text = markdown(model_card(contract, (), None, first))

    assert f"of chain {named.chain_id.hex()}, height 7" in text
    assert "by the founders: taken over from that chain" in text
    assert "not trained" not in text
