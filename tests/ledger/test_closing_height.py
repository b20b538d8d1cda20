"""Rule P15: one height closes training, for the figures of the last model."""

from dataclasses import replace

from ledger.inclusion import disqualification, opens, opens_for_feedback, opens_for_training
from ledger.records import BlockKind
from tests.support.evidence import proof
from tests.support.feedback import FEEDBACK, add_judged, judging_network, with_feedback
from tests.support.ledger import Chain, contract, digest, stub_chain, update

PATIENCE = FEEDBACK.patience
WORSE = -FEEDBACK.tolerance - 1


def best_height(made: Chain) -> int:
    return made.state.best.height


def test_one_height_closes_training_for_the_figures_of_the_last_model() -> None:
    """Rule P15."""
    made = judging_network(blocks=2, rounds=2)
    assert opens_for_feedback(made.contract, made.state)
    assert not opens_for_training(made.contract, made.state)

    add_judged(made, dict.fromkeys(range(4), 5))

    assert made.blocks[-1].header.kind is BlockKind.EMPTY
    assert made.blocks[-1].header.results.model_id == digest("model 2")
    assert best_height(made) == 2
    assert made.state.empties_in_row == 0
    assert not opens(made.contract, made.state)


def test_the_closing_height_ends_also_without_figures() -> None:
    for options in ({}, {"view": 4}, {"view": 9}):
        made = judging_network(blocks=2, rounds=2)
        add_judged(made, {}, **options)
        assert (made.blocks[-1].header.kind, made.blocks[-1].header.created_view) == (
            BlockKind.EMPTY,
            options.get("view", 0),
        )
        assert not opens(made.contract, made.state)


def test_no_update_counts_in_the_closing_height() -> None:
    made = judging_network(blocks=2, rounds=2)

    header = update(made.contract, made.state, 0, made.keys[0]).statement

    assert disqualification(made.contract, made.state, header) == "training round 2 was the last"


def test_a_chain_that_ends_with_a_return_needs_no_closing_height() -> None:
    made = judging_network(rounds=PATIENCE + 1)
    for _ in range(PATIENCE):
        add_judged(made, dict.fromkeys(range(4), WORSE))

    assert (made.state.returns, made.state.training_round) == (1, PATIENCE + 1)
    assert not opens(made.contract, made.state)


def test_no_closing_height_opens_where_nobody_is_left_to_judge() -> None:
    terms = contract(4, training_rounds=2, samples=[100] * 4)
    made = stub_chain(2, of=with_feedback(terms, [1]))
    assert opens(made.contract, made.state)

    made = stub_chain(1, of=with_feedback(terms, [1]))
    made.add(made.build(evidence=(proof(made, 1),)))
    assert not opens(made.contract, made.state)


def test_training_that_stops_for_want_of_trainers_closes_with_the_last_model() -> None:
    terms = replace(contract(4, samples=[100] * 4), min_updates=4, trainer_budget=0)
    made = stub_chain(1, of=with_feedback(terms, range(4)))
    evidence = (proof(made, 0),)
    block = made.build(evidence=evidence)
    assert block.header.kind is BlockKind.EMPTY
    made.add(block)

    # The EMPTY block that bans could carry the figures itself.
    assert not opens(made.contract, made.state)
