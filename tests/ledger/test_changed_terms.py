"""Terms change while the chain goes on, and after its last training round (rules P15, P81)."""

from dataclasses import replace

from ledger.inclusion import disqualification, opens, opens_for_training
from ledger.records import BlockKind
from tests.support.ledger import (
    contract,
    stub_chain,
    update,
)
from tests.support.members import (
    block_with,
    carry,
    change,
    go_on,
    grown,
    leave,
    pend,
    problems,
    ready,
)


def test_terms_change_and_count_from_the_next_height_on() -> None:
    made = grown()
    rule = replace(made.contract.aggregation, rule_id="nnm-geometric-median")
    operation = change(made, lambda terms: replace(terms, aggregation=rule, trainer_budget=0))

    carry(made, operation)
    at_change = made.blocks[-1].header.rule_id
    block = made.build(trainers=[0])

    assert at_change == "mean"
    assert (block.header.rule_id, block.header.kind) == (
        "nnm-geometric-median",
        BlockKind.AGGREGATE,
    )
    assert problems(made, block) == []
    assert made.state.membership_epoch == 0


def test_a_finished_chain_opens_for_changes_alone() -> None:
    """Rule P15."""
    made = grown(training_rounds=3)
    terms = made.in_force
    more = change(made, lambda terms: replace(terms, training_rounds=4))

    idle, changing = made.build(), block_with(made, more)

    assert not opens_for_training(terms, made.state)
    assert opens(terms, made.state, has_changes=True)
    assert not opens(terms, made.state, has_changes=False)
    assert len(problems(made, idle)) == 1
    assert "training does not go on" in problems(made, idle)[0]
    assert changing.header.kind is BlockKind.EMPTY
    assert problems(made, changing) == []
    made.add(changing)
    go_on(made, 1)
    assert made.blocks[-1].header.kind is BlockKind.AGGREGATE


def test_heights_that_await_no_update_do_not_lengthen_the_wait_for_updates() -> None:
    """Rule P15: after such heights, members wait as long as after the last one that did."""
    made = grown(training_rounds=4)
    made.add(made.build(trainers=[0]))
    awaited = [made.state.empties_in_row]
    made.add(made.build())
    trained = made.state.empties_in_row

    carry(made, change(made, lambda terms: replace(terms, byzantine_budget=0)))
    carry(made, change(made, lambda terms: replace(terms, training_rounds=5)))
    alone = made.state.empties_in_row
    made.add(made.build(trainers=[0]))
    awaited.append(made.state.empties_in_row)

    kinds = [block.header.kind.name for block in made.blocks[3:]]
    assert kinds == ["EMPTY", "AGGREGATE", "EMPTY", "EMPTY", "EMPTY"]
    assert (trained, alone, awaited) == (0, 0, [1, 1])


def test_updates_after_the_last_training_round_do_not_count() -> None:
    made = grown(training_rounds=3)
    header = update(made.in_force, made.state, 0, made.keys[0]).statement

    assert disqualification(made.in_force, made.state, header) == ("training round 3 was the last")


def test_after_a_leave_training_waits_for_a_join() -> None:
    """Three of three trainers are needed; a member may go all the same (rule P15)."""
    made = stub_chain(3, of=contract(3, trainer_budget=1))
    carry(made, leave(made, 0))

    assert not opens_for_training(made.in_force, made.state)
    number = pend(made, "new")
    carry(made, readies=(ready(made, number),))
    assert opens_for_training(made.in_force, made.state)
    go_on(made)
