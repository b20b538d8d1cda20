"""Updates that come late: what counts, how much, and what never returns (rules P10, P12a, P42)."""

from dataclasses import replace

import pytest

from ledger.building import Draft, aggregate_results, build_block, expected_weights
from ledger.errors import ContractError
from ledger.genesis import STALENESS_MAX
from ledger.genesis_rules import check_contract
from ledger.inclusion import disqualification, weighted_contributions
from ledger.keys import sign
from ledger.records import BlockKind, Flag, UpdateHeader
from ledger.validity import check_block
from tests.support.ledger import STUB_SCHEME, Chain, contract, digest, have, stub_chain, update

TERMS = contract(4)


def late(made: Chain, by: int, trainer: int = 1) -> UpdateHeader:
    """A header for the next height whose base is `by` training rounds behind."""
    header = update(made.contract, made.state, trainer, made.keys[trainer]).statement
    base = made.states[-1 - by].model_id
    training_round = header.training_round - by
    return replace(header, training_round=training_round, base_model_id=base)


@pytest.mark.parametrize("longest", [0, 1, 2, 3, 8])
def test_an_update_may_come_late_by_so_many_training_rounds_and_no_more(longest: int) -> None:
    """Rule P10."""
    made = stub_chain(5, of=replace(TERMS, max_staleness=longest))

    allowed = [
        by for by in range(6) if disqualification(made.contract, made.state, late(made, by)) is None
    ]

    assert allowed == list(range(min(longest, 5) + 1))


def test_a_late_update_names_the_model_that_was_current_in_its_training_round() -> None:
    made = stub_chain(3, of=replace(TERMS, max_staleness=2))
    header = late(made, 1)

    wrong = [replace(header, base_model_id=made.states[-1 - by].model_id) for by in (0, 2)]
    ahead = replace(header, training_round=made.state.training_round + 2)

    for each in wrong:
        problem = disqualification(made.contract, made.state, each)
        assert problem == "trained from another model than that of its training round"
    assert (
        disqualification(made.contract, made.state, ahead)
        == "for training round 5, expected 2 to 4"
    )


def test_empty_heights_do_not_make_an_update_late() -> None:
    made = stub_chain(2)
    header = late(made, 0)
    for _ in range(3):
        made.add(made.build(trainers=()))

    problem = disqualification(made.contract, made.state, replace(header, height=6))

    assert problem is None
    assert made.state.earlier_models == made.states[2].earlier_models


def test_no_body_that_was_included_returns_within_the_window() -> None:
    """Rule P12a: whichever of the training rounds it claims."""
    made = stub_chain(8, of=replace(TERMS, max_staleness=5))
    included_ids = [block.updates[1].statement.update_id for block in made.blocks]

    for by in range(6):
        for body in included_ids[-5:]:
            header = replace(late(made, by), update_id=body)
            problem = disqualification(made.contract, made.state, header)
            assert problem == "the same body was included before"


def test_a_late_update_weighs_less() -> None:
    """Rule P42."""
    made = stub_chain(
        3, of=replace(contract(4, samples=[100] * 4), trainer_budget=0, max_staleness=2)
    )
    headers = [
        sign(
            late(made, by, trainer),
            made.keys[trainer],
            signer=trainer,
            chain_id=made.state.chain_id,
        )
        for trainer, by in enumerate((0, 1, 2, 0))
    ]

    weights = weighted_contributions(made.contract, made.state, headers)

    assert weights == (100, 50, 33, 100)


def test_a_block_of_late_updates_is_valid_and_goes_on_from_the_current_model() -> None:
    """Rules P10 and P13."""
    made = stub_chain(3)
    headers = tuple(
        sign(late(made, 1, each), made.keys[each], signer=each, chain_id=made.state.chain_id)
        for each in range(4)
    )

    haves = tuple(have(made.state, each, made.keys[each], headers) for each in range(4))
    weighted = expected_weights(made.contract, made.state, haves, headers)
    results = aggregate_results(
        weighted, [Flag.REGULAR] * 4, model_id=digest("next"), optimizer_id=made.state.optimizer_id
    )
    draft = Draft(
        view=0,
        kind=BlockKind.AGGREGATE,
        time_ms=made.state.time_ms + 1,
        haves=haves,
        updates=headers,
        last_certificate=made.certificate,
        results=results,
    )
    block = build_block(made.contract, made.state, draft)

    assert check_block(made.contract, made.state, block, scheme=STUB_SCHEME) == ()
    assert len(weighted) == 4
    assert block.header.base_model_id == made.state.model_id
    made.add(block)
    assert [len(each.update_ids) for each in made.state.recent_training] == [4, 4]


def test_more_lateness_than_a_state_remembers_is_refused() -> None:
    with pytest.raises(ContractError, match="max_staleness: expected at most 8, got 9"):
        check_contract(replace(TERMS, max_staleness=STALENESS_MAX + 1))
