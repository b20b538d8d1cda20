"""What people are shown is what the ledger says."""

import json
from dataclasses import replace

import pytest

from ledger.genesis import Role
from ledger.inspection import (
    View,
    block_view,
    chain_views,
    contributions_view,
    feedback_view,
    network_view,
    state_view,
    votes_view,
)
from ledger.operations import contract_hash
from ledger.records import block_id
from ledger.reputation import SCALE
from ledger.state import initial_state
from tests.support.evidence import proof
from tests.support.feedback import add_judged, judging_network
from tests.support.ledger import (
    Chain,
    contract,
    empty_chain,
    have,
    stub_chain,
    stub_keys,
    update,
    with_roles,
)
from tests.support.members import carry, change, evict, join, leave, new_key, rotate


@pytest.fixture(scope="module")
def made() -> Chain:
    """An outlier, a late EMPTY block, and a certificate that lacks a vote."""
    terms = contract(4)
    grown = empty_chain(terms, stub_keys(terms))
    grown.add(grown.build(outliers=(2,)))
    grown.add(grown.build(view=5), signing=(0, 1, 3))
    grown.add(grown.build(listing=(0, 1, 2)))
    return grown


def views(made: Chain) -> list[View]:
    return list(chain_views(made.contract, made.blocks, made.certificate))


def test_everything_shown_is_plain_data(made: Chain) -> None:
    shown = [
        network_view(made.contract, made.state),
        state_view(made.contract, made.state),
        *views(made),
    ]

    assert json.loads(json.dumps(shown)) == shown


def test_the_views_of_a_chain_are_those_of_its_blocks(made: Chain) -> None:
    first, second, third = views(made)

    assert [first["height"], second["height"], third["height"]] == [1, 2, 3]
    assert [each["kind"] for each in (first, second, third)] == ["AGGREGATE", "EMPTY", "AGGREGATE"]
    assert [each["created_view"] for each in (first, second, third)] == [0, 5, 0]
    assert third["block_id"] == block_id(made.blocks[2].header).hex()
    assert second["parent_id"] == first["block_id"]
    assert second["model_id"] == first["model_id"]


def test_evidence_names_the_banned_member_and_what_it_signed_twice() -> None:
    """Rule P45."""
    grown = stub_chain(2)
    grown.add(grown.build(evidence=(proof(grown, 3, "PREPARE"),)))

    *_, last = views(grown)
    shown = state_view(grown.contract, grown.state)["members"]

    assert last["evidence"] == [
        {"number": 3, "name": "hospital-3", "statement": "PREPARE", "height": 3, "view": 2}
    ]
    assert isinstance(shown, list)
    flags = [each["is_banned"] for each in shown if isinstance(each, dict)]
    assert flags == [False, False, False, True]


def test_votes_name_who_signed_and_who_is_missing(made: Chain) -> None:
    second = views(made)[1]

    votes = votes_view(made.contract, made.states[1].validators, made.certificates[1])

    assert second["votes"] == votes
    assert votes["view"] == 5
    assert votes["absent"] == [{"number": 2, "name": "hospital-2"}]
    powers = made.states[1].validators
    assert votes["total_power"] == powers.total
    assert votes["power"] == powers.total - powers.power_of(2)


def test_contributions_show_weights_in_thousandths_and_outliers(made: Chain) -> None:
    shown = contributions_view(made.contract, made.blocks[0])

    entries = [entry for entry in shown if isinstance(entry, dict)]
    assert [entry["number"] for entry in entries] == [0, 1, 2, 3]
    assert [entry["is_outlier"] for entry in entries] == [False, False, True, False]
    contributions = made.blocks[0].header.results.contributions
    total = sum(each.weight for each in contributions)
    assert [entry["weight_permille"] for entry in entries] == [
        each.weight * 1000 // total for each in contributions
    ]
    assert contributions_view(made.contract, made.blocks[1]) == []


def test_haves_and_updates_are_listed_with_power(made: Chain) -> None:
    third = views(made)[2]

    haves, updates = third["haves"], third["updates"]
    assert isinstance(haves, list)
    assert isinstance(updates, list)
    assert [entry["number"] for entry in haves if isinstance(entry, dict)] == [0, 1, 2]
    assert haves[0] == {
        "number": 0,
        "name": "hospital-0",
        "power": made.states[2].validators.power_of(0),
        "trainers": [0, 1, 2, 3],
    }
    assert [entry["is_included"] for entry in updates if isinstance(entry, dict)] == [True] * 4


def test_an_update_that_cannot_count_is_shown_with_the_reason() -> None:
    made = stub_chain(0)
    block = made.build()
    good = [update(made.contract, made.state, i, made.keys[i]) for i in range(4)]
    stale = replace(good[3], statement=replace(good[3].statement, training_round=9))
    haves = [have(made.state, i, made.keys[i], [*good[:3], stale]) for i in range(4)]
    results = replace(block.header.results, contributions=block.header.results.contributions[:3])
    forged = replace(
        block,
        header=replace(block.header, results=results),
        haves=tuple(haves),
        updates=(*good[:3], stale),
    )

    shown = block_view(made.contract, made.state, forged, None)["updates"]

    assert isinstance(shown, list)
    last = shown[3]
    assert isinstance(last, dict)
    assert (last["is_included"], last["reason"]) == (False, "for training round 9, expected 1")


def test_a_block_without_its_certificate_shows_no_votes(made: Chain) -> None:
    shown = block_view(made.contract, made.states[2], made.blocks[2], None)

    assert "votes" not in shown


def test_the_state_shows_powers_reputations_and_next_proposers(made: Chain) -> None:
    shown = state_view(made.contract, made.state)

    members, proposers = shown["members"], shown["next_proposers"]
    assert isinstance(members, list)
    assert isinstance(proposers, list)
    entries = [entry for entry in members if isinstance(entry, dict)]
    assert [entry["quality"] for entry in entries] == [each.quality for each in made.state.scores]
    assert entries[2]["quality"] != SCALE
    assert [entry["power"] for entry in entries] == [
        each.power for each in made.state.validators.validators
    ]
    assert len(proposers) == 4
    assert (shown["height"], shown["block_id"]) == (3, made.state.tip_id.hex())
    assert state_view(made.contract, made.states[0])["block_id"] == ""


def test_the_network_shows_roles_and_what_it_tolerates() -> None:
    terms = with_roles(contract(7, byzantine_budget=1), {6: Role.VALIDATOR, 5: Role.TRAINER})

    shown = network_view(terms, initial_state(terms))

    assert isinstance(shown["members"], list)
    roles = [
        (entry["is_trainer"], entry["is_validator"])
        for entry in shown["members"]
        if isinstance(entry, dict)
    ]
    assert roles == [(True, True)] * 5 + [(True, False), (False, True)]
    assert shown["trainers_that_may_lie"] == terms.trainer_budget
    assert shown["validators_that_may_be_silent"] == 1


def test_a_chain_without_blocks_has_no_views() -> None:
    made = stub_chain(0)

    assert list(chain_views(made.contract, [], None)) == []


def test_members_that_nobody_knows_are_shown_as_unknown(made: Chain) -> None:
    header = replace(made.blocks[0].header, proposer=77)
    block = replace(made.blocks[0], header=header)

    shown = block_view(made.contract, made.states[0], block, None)

    assert shown["proposer"] == {"number": 77, "name": "unknown"}


def test_an_operation_is_shown_with_what_it_changes_and_who_approved_it() -> None:
    """Rule P81."""
    grown = stub_chain(1, n=5)
    key = new_key("next", grown.keys[0])
    newcomer = join(grown, "newcomer")
    terms = change(grown, lambda old: replace(old, training_rounds=9))
    made = (newcomer, rotate(grown, 1, key), leave(grown, 2), evict(grown, 3))
    carry(grown, *made)
    carry(grown, terms := replace(terms, contract_hash=contract_hash(grown.in_force)))

    *_, several, last = views(grown)

    assert isinstance(several["operations"], list)
    shown = {each["operation"]: each for each in several["operations"] if isinstance(each, dict)}
    assert shown["JOIN"]["name"] == "newcomer"
    assert shown["JOIN"]["public_key"] == newcomer.public_key.hex()
    assert shown["ROTATE"]["number"] == 1
    assert shown["ROTATE"]["public_key"] == key.public_key.hex()
    assert (shown["LEAVE"]["number"], shown["EVICT"]["number"]) == (2, 3)
    assert shown["LEAVE"]["approved_by"] == [{"number": 2, "name": "hospital-2"}]
    assert isinstance(last["operations"], list)
    (changed,) = last["operations"]
    assert isinstance(changed, dict)
    assert changed["contract_hash"] == terms.contract_hash.hex()


def test_feedback_shows_the_median_of_a_model_by_power_and_the_best_model() -> None:
    """Rule P16: medians are for people only."""
    judging = judging_network()
    add_judged(judging, {0: 5, 1: 7, 2: 9})

    shown = feedback_view(judging.contract, judging.blocks, 1)
    metrics = views(judging)[1]["metrics"]
    initial = feedback_view(judging.contract, judging.blocks, 0)

    assert shown["best_height"] == 1
    assert shown["returns"] == 0
    judged = {"height": 1, "figures": 3, "median": 7, "best_median": 0}
    named = {"model_id": judging.blocks[0].header.results.model_id.hex()}
    assert shown["judged"] == {**judged, **named}
    assert initial["judged"] == {}
    assert isinstance(metrics, list)
    assert metrics[1] == {
        "number": 1,
        "name": "hospital-1",
        "height": 1,
        "value": 7,
        "best_value": 0,
    }


def test_a_model_of_which_nobody_has_said_anything_has_no_median() -> None:
    """Rule P16."""
    judging = judging_network()

    shown = feedback_view(judging.contract, judging.blocks, 1)["judged"]

    assert isinstance(shown, dict)
    assert shown["figures"] == 0
    assert "median" not in shown
