"""`fednode member`: what it prints and leaves for the node; one clear error per mistake (P81)."""

import json
from pathlib import Path
from typing import Any

import pytest

from fednode.changes.join_card import load_join_card, make_join_card
from fednode.changes.kept import load_operations, save_operations
from fednode.changes.mailbox import Approve, Mailbox, Offer
from fednode.changes.next_key import load_next_key, promote_next_key
from fednode.config import DataSection, NodeConfig, write_config
from fednode.errors import ConfigError
from fednode.founding.card_files import write_card
from fednode.founding.contracts import ContractOptions, make_contract
from fednode.founding.keys import load_key_file
from fednode.founding.members import create_member, make_card
from fednode.founding.membership import open_membership
from ledger.genesis import Contract, Role, chain_id
from ledger.keys import sign
from ledger.operations import (
    Agreed,
    Approval,
    ChangeTerms,
    Evict,
    Join,
    Leave,
    Rotate,
    operation_id,
)
from ledger.store import Ledger
from tests.fednode.cli.support import invoke
from tests.fednode.founding.support import (
    BROKER,
    Network,
    found,
    key_of,
    make_members,
    write_rows,
)

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Four members with ledgers in which there is no block yet."""
    made = found(tmp_path)
    for member in made.members:
        write_config(member.config_path, member.config)
        Ledger.create(member.config.node.folder, made.genesis).close()
    return made


def config_of(network: Network, number: int = 0) -> Path:
    return network.members[number].config_path


def member(network: Network, *words: object, number: int = 0) -> str:
    return invoke("member", *words, "--config", config_of(network, number)).output


def orders(network: Network, number: int = 0) -> list[Any]:
    box = Mailbox(network.members[number].config.node.folder)
    return [box.read(path) for path in box.waiting()]


def test_list_shows_members_standing_and_power(network: Network) -> None:
    data = json.loads(member(network, "list", "--json"))
    shown = member(network, "list")

    assert [each["name"] for each in data["members"]] == list(NAMES)
    assert {each["standing"] for each in data["members"]} == {"active"}
    assert data["own_member"] == 0
    assert "none waiting" in shown


def test_leave_evict_and_change_leave_orders_for_the_node(network: Network) -> None:
    member(network, "leave")
    said = member(network, "evict", "c")
    member(network, "change", "--training-rounds", 99)

    leave, evict, change = (each.operation for each in orders(network))
    assert leave == Leave(member=0, admitted=0, expiry=500)
    assert evict == Evict(member=2, admitted=0, expiry=500)
    assert isinstance(change, ChangeTerms)
    assert change.terms.training_rounds == 99
    assert "the node is not running; it takes it when it starts" in said
    assert operation_id(evict, chain_id(network.contract)).hex() in said


def test_rotate_makes_a_key_that_the_network_key_is_sealed_for(network: Network) -> None:
    config = network.members[1].config
    member(network, "rotate", number=1)
    member(network, "rotate", number=1)

    made = load_next_key(config.node.key_file)
    first, second = (each.operation for each in orders(network, 1))
    assert made is not None
    assert isinstance(first, Rotate)
    assert first.public_key == second.public_key == made.public_key
    promote_next_key(config.node.key_file)
    assert load_key_file(config.node.key_file).public_key == made.public_key
    assert open_membership(config).key.public_key != key_of("b").public_key


def pending(network: Network) -> Agreed:
    """An eviction that b brought up, known to a's node."""
    operation = Evict(member=3, admitted=0, expiry=400)
    chain = chain_id(network.contract)
    approved = Approval(operation_id=operation_id(operation, chain))
    signed = sign(approved, key_of("b").signing, signer=1, chain_id=chain)
    agreed = Agreed(operation=operation, approvals=(signed,))
    save_operations(network.members[0].config.node.folder, (agreed,))
    return agreed


def test_show_and_approve_find_an_operation_by_its_first_digits(network: Network) -> None:
    agreed = pending(network)
    wanted = operation_id(agreed.operation, chain_id(network.contract))

    shown = json.loads(member(network, "show", wanted.hex()[:8], "--json"))
    member(network, "approve", wanted.hex()[:8])

    assert shown["approved_by"] == ["b"]
    assert shown["missing"] == ["a", "c", "d"]
    assert orders(network) == [Approve(operation_id=wanted)]
    assert load_operations(network.members[0].config.node.folder) == (agreed,)


def newcomer(network: Network, tmp_path: Path) -> NodeConfig:
    made = make_members(tmp_path / "more", ("west",))[0]
    genesis = network.members[0].config.node.genesis_file
    made.config.node.genesis_file.write_bytes(genesis.read_bytes())
    write_config(made.config_path, made.config)
    return made.config


def test_a_join_card_becomes_the_order_of_its_sponsor(network: Network, tmp_path: Path) -> None:
    config = newcomer(network, tmp_path)
    card = tmp_path / "west.join"
    path = config.node.key_file.parent / "node.toml"
    invoke("member", "card", "--config", path, "--height", 7, "--out", card)

    member(network, "join", card)

    (offer,) = orders(network)
    assert isinstance(offer, Offer)
    assert isinstance(offer.operation, Join)
    assert (offer.operation.name, offer.operation.expiry) == ("west", 907)
    changed = card.read_text().replace('"samples": 12', '"samples": 13')
    (tmp_path / "changed.join").write_text(changed)
    with pytest.raises(ConfigError, match="got one that was changed"):
        load_join_card(tmp_path / "changed.join", chain_id(network.contract))
    with pytest.raises(ConfigError, match="expected a card for chain"):
        load_join_card(card, bytes(32))


def judged(folder: Path, share: float, own_share: float) -> tuple[NodeConfig, Contract]:
    """The settings of a newcomer, and a contract in which members hold rows out."""

    def rows(name: str, held: float) -> DataSection:
        section = write_rows(folder / f"{name}.csv", rows=20)
        return section.model_copy(update={"hold_out_fraction": held})

    cards = [make_card(name, rows(name, share), key_of(name)) for name in NAMES]
    west = create_member(
        folder / "west", name="west", broker=BROKER, data=rows("west", own_share), seed=bytes(32)
    )
    return west.config, make_contract(cards, ContractOptions(name="test"))


def test_a_newcomer_that_holds_rows_out_asks_to_judge_models(tmp_path: Path) -> None:
    """Rules P16, P81: of the samples that it trains on the rows held out are none."""
    config, contract = judged(tmp_path, 0.2, 0.2)
    key = load_key_file(config.node.key_file)

    card = make_join_card(config, key.signing, contract, height=7, is_validator=True)

    assert card.roles == ("trainer", "validator", "hold_out")
    assert card.samples == 16
    assert card.operation().roles == Role.TRAINER | Role.VALIDATOR | Role.HOLD_OUT
    path = tmp_path / "west.join"
    write_card(path, card)
    assert load_join_card(path, chain_id(contract)) == card


@pytest.mark.parametrize(
    ("share", "own_share", "is_validator", "message"),
    [
        (0.2, 0.1, True, "expected a share of 0.2 held out to judge models, or none, got 0.1"),
        (0.0, 0.1, True, "expected no rows held out, as this network judges no models, got 0.1"),
        (0.2, 0.2, False, "expected a validator, because it holds rows out"),
    ],
)
def test_a_newcomer_holds_out_what_the_network_does_and_votes_or_nothing(
    tmp_path: Path, share: float, own_share: float, message: str, *, is_validator: bool
) -> None:
    config, contract = judged(tmp_path, share, own_share)
    key = load_key_file(config.node.key_file)

    with pytest.raises(ConfigError, match=message):
        make_join_card(config, key.signing, contract, height=7, is_validator=is_validator)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("show", "abcd"), "expected the id of a pending operation, got 'abcd'"),
        (("approve", "abcd"), "known here: none"),
        (("evict", "nobody"), "expected a member's name or number, got 'nobody'"),
        (("change",), "expected at least one term with another value"),
        (("change", "--byzantine-budget", 2), "expected at most 1 of 4 validators"),
        (("change", "--rule", "best"), "expected a rule of mean, nnm-geometric-median, got 'best'"),
        (("leave", "--heights", 1001), "expected 1 to 1000 heights, got 1001"),
        (("join", "nothing.join"), "expected a join card at nothing.join"),
        (("invite", "nobody"), "expected a member's name or number"),
    ],
)
def test_each_mistake_gets_one_sentence(
    network: Network, words: tuple[object, ...], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        member(network, *words)


def test_a_member_without_a_ledger_is_told_to_run_first(tmp_path: Path) -> None:
    made = found(tmp_path)
    write_config(made.members[0].config_path, made.members[0].config)

    with pytest.raises(ConfigError, match="made by the first 'fednode run'"):
        member(made, "list")


def test_a_full_mailbox_takes_no_more(tmp_path: Path) -> None:
    box = Mailbox(tmp_path)
    for number in range(64):
        box.put(Approve(operation_id=bytes(32)), now_ms=number)

    with pytest.raises(ConfigError, match="64 orders that no node has taken"):
        box.put(Approve(operation_id=bytes(32)), now_ms=99)


def test_what_is_no_order_is_dropped(tmp_path: Path) -> None:
    box = Mailbox(tmp_path)
    path = box.put(Approve(operation_id=bytes(32)), now_ms=1)
    path.write_bytes(b"\x92\x07")

    assert box.read(path) is None
    box.drop(path)
    assert box.waiting() == ()
